// libnccl.so.2 of somebody else: LibTorch finds nothing that it calls.
extern "C" int titan_other_nccl() { return 0; }
