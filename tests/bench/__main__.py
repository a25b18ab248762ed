"""python tests/bench: every measurement, one after the other."""

import pull_speed
import reward_speed
import step_stages

pull_speed.main()
reward_speed.main()
step_stages.main()
