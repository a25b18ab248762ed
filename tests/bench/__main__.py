"""python tests/bench: every measurement, one after the other."""

import codec_speed
import pull_speed
import reward_speed
import step_stages
import whisper_speed

pull_speed.main()
reward_speed.main()
whisper_speed.main()
codec_speed.main()
step_stages.main()
