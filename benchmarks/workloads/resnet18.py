"""ResNet-18 for 3x32x32, batch 32, SGD with momentum."""

from workloads.convolutional import Task, frameworks, resnet18

STEPS = 3
LOSS = 1e-2
CHECKED = (1, 2)
FRAMEWORKS = frameworks(Task(resnet18, (32, 3, 32, 32), False, 0.01))
