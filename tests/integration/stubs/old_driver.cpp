// libcuda.so.1 of a driver that knows CUDA 11.4 at most.
extern "C" {

int cuInit(unsigned) { return 0; }

int cuDriverGetVersion(int* version) {
  *version = 11040;
  return 0;
}
}
