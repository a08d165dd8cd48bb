#include "fuzz/replay_corpus.h"

TEST(CompressedJsonlFuzzCorpus, Replays) { titan::test::replay_corpus("compressed_jsonl"); }
