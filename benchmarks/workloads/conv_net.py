"""Conv net 3x3, 3-32-64-pool-128-pool-256-10 on 3x32x32, batch 64, Adam."""

from workloads.convolutional import Task, conv_net, frameworks

STEPS = 5
LOSS = 1e-2
CHECKED = (1, 2)
FRAMEWORKS = frameworks(Task(conv_net, (64, 3, 32, 32), True, 1e-3))
