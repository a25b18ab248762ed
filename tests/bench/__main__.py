"""python tests/bench: every measurement, one after the other."""

import pull_speed
import reward_speed
import reward_workers
import step_stages

pull_speed.main()
reward_speed.main()
reward_workers.main()
step_stages.main()
