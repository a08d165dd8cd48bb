#include "fuzz/replay_corpus.h"

TEST(PickleFuzzCorpus, Replays) { titan::test::replay_corpus("pickle"); }
