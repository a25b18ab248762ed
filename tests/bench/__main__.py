"""python tests/bench: every measurement, one after the other."""

import pull_speed
import reward_speed

pull_speed.main()
reward_speed.main()
