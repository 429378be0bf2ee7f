from sceneshift.execution.ray_train import WorkerShape


def test_gpus_exchange_through_nccl_unless_workers_may_share_one():
    shapes = {gpus: WorkerShape(cpus=1, gpus=gpus).backend for gpus in (0, 0.5, 1, 2)}
    assert shapes == {0: "gloo", 0.5: "gloo", 1: "nccl", 2: "nccl"}
