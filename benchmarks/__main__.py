"""python benchmarks: every measurement, one after the other."""

import codec_speed
import pull_speed
import reward_speed
import scorer_cost
import step_stages
import whisper_speed

pull_speed.main()
reward_speed.main()
scorer_cost.main()
whisper_speed.main()
codec_speed.main()
step_stages.main()
