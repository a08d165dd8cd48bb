#include "fuzz/replay_corpus.h"

TEST(TokenFilesFuzzCorpus, Replays) { titan::test::replay_corpus("token_files"); }
