"""Tells trackers of a run: Weights & Biases, TensorBoard, MLflow, Trackio.

A process beside the supervisor follows the step log and the evaluations, and tells each tracker in
a thread of its own what it has not got. The log is the queue: a tracker that is down is behind, and
costs training nothing. verl's own Tracking knows neither audio nor what a tracker has already.

May import evaluation and the rooms below it. May be imported by kube, prefer, serving and training
and the rooms above them.
"""
