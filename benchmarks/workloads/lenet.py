"""LeNet on 1x28x28, batch 64, Adam."""

from workloads.convolutional import Task, frameworks, lenet

STEPS = 40
LOSS = 1e-2
CHECKED = (1, 2)
FRAMEWORKS = frameworks(Task(lenet, (64, 1, 28, 28), True, 1e-3))
