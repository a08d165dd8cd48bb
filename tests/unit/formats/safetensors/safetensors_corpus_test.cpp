#include "fuzz/replay_corpus.h"

TEST(SafetensorsFuzzCorpus, Replays) { titan::test::replay_corpus("safetensors"); }
