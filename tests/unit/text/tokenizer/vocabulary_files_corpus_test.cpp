#include "fuzz/replay_corpus.h"

TEST(VocabularyFilesFuzzCorpus, Replays) { titan::test::replay_corpus("vocabulary_files"); }
