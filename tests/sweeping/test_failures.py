"""A broken device is told from a point that fails."""

import pytest
import torch

from genre.sweeping.failures import device_failure, is_device_failure

DEVICE = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA"),
    torch.AcceleratorError("CUDA error: no CUDA-capable device is detected"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("Found no NVIDIA driver on your system."),
]
POINT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Given groups=1, weight of size [8, 1, 3, 3], expected input to have 1 channels"),
    ValueError("CUDA error: said by something else"),
]


@pytest.mark.parametrize(("errors", "broken"), [(DEVICE, True), (POINT, False)], ids=["device", "point"])
def test_errors_of_cuda_and_cudnn_other_than_lack_of_memory_are_the_devices(errors, broken):
    assert [is_device_failure(error) for error in errors] == [broken] * len(errors)


@pytest.mark.parametrize(
    ("trials", "named"), [([3], "trial 3"), ([3, 4], "trial 3 and 1 other"), ([3, 4, 5], "trial 3 and 2 others")]
)
def test_the_sentence_names_the_trials_and_the_first_line_of_the_error(trials, named):
    sentence = str(device_failure(DEVICE[0], trials))
    assert f"the device failed on {named} (CUDA error: an illegal memory access was encountered); " in sentence
