#include "fuzz/replay_corpus.h"

TEST(TorchArchiveFuzzCorpus, Replays) { titan::test::replay_corpus("torch_archive"); }
