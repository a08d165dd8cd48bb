#include "fuzz/replay_corpus.h"

TEST(JsonlFuzzCorpus, Replays) { titan::test::replay_corpus("jsonl"); }
