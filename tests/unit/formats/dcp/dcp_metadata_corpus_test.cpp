#include "fuzz/replay_corpus.h"

TEST(DcpMetadataFuzzCorpus, Replays) { titan::test::replay_corpus("dcp_metadata"); }
