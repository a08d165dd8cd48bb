#include "fuzz/replay_corpus.h"

TEST(SentencePieceFuzzCorpus, Replays) { titan::test::replay_corpus("sentencepiece"); }
