#include "fuzz/replay_corpus.h"

TEST(TokenizerFuzzCorpus, Replays) { titan::test::replay_corpus("tokenizer_json"); }
