"""Where a run begins, what its last save is, and what happens to requests that cannot be met."""
import json
import os
import shutil
import subprocess
import time

from titan import ROOT, TitanTest, environment

SAVING = ["--checkpoint.enable", "--checkpoint.interval=2", "--metrics.log_freq=1", "--debug.log_hashes",
          "--checkpoint.no-last_save_model_only"]
VALIDATING = ["--validation.enable", "--validation.seq_len=64", "--validation.local_batch_size=2"]


class CheckpointTest(TitanTest):
    def weights(self, step, dump="dump"):
        return {h["name"]: h["sha256"] for h in self.records("hashes.jsonl", dump) if h["step"] == step and "batch" not in h["name"]}

    def steps(self, dump="dump"):
        return [r["step"] for r in self.records(dump=dump) if "loss" in r]

    def said(self, *args, **options):
        result = self.train(*args, **options)
        return result.stdout + result.stderr

    def in_folder(self, name, *args):
        return [*args, "--job.dump_folder", self.path(name)]

    def test_a_seed_checkpoint_is_where_any_layout_begins(self):
        self.train(*SAVING, "--checkpoint.create_seed_checkpoint", "--debug.seed=5")
        seed = self.path("dump/checkpoint/step-0")
        one = self.said(*self.in_folder("one", *SAVING), f"--checkpoint.initial_load_path={seed}", "--debug.seed=6")
        self.assertIn("Training starts at step 1", one)
        self.train(*self.in_folder("four", *SAVING), f"--checkpoint.initial_load_path={seed}", "--debug.seed=7",
                   "--comm.mode=local_tensor", "--training.steps=2", "--parallelism.data_parallel_shard_degree=4", env={"NGPU": "4"})
        self.assertEqual(self.weights(0, "one"), self.weights(0, "four"))
        fresh = self.path("fresh")
        self.train(*self.in_folder("fresh", *SAVING), "--debug.seed=5")
        self.assertEqual(self.weights(0, "one"), self.weights(0, "fresh"))
        self.assertTrue(os.path.isdir(fresh))

    def test_a_seed_is_exact_whatever_the_last_save_is_to_be(self):
        seeded = {}
        for name, options in (("plain", []), ("rounded", ["--checkpoint.last_save_model_only", "--checkpoint.export_dtype=bfloat16"]),
                              ("hf", ["--checkpoint.last_save_model_only", "--checkpoint.last_save_in_hf"])):
            job = self.in_folder(name, *SAVING, *options, "--debug.seed=5")
            self.train(*job, "--checkpoint.create_seed_checkpoint")
            self.assertEqual(sorted(os.listdir(self.path(name, "checkpoint/step-0"))), [".metadata", "__0_0.distcp"])
            said = self.said(*job, "--debug.seed=6", "--training.steps=2")
            self.assertIn("step-0 (model): the seed checkpoint", said)
            self.assertIn("Training starts at step 1", said)
            seeded[name] = self.weights(0, name)
        self.train(*self.in_folder("fresh", *SAVING), "--debug.seed=5")
        for name, weights in seeded.items():
            self.assertEqual(weights, self.weights(0, "fresh"), name)

    def test_an_initial_load_of_everything_goes_on_in_another_folder(self):
        self.train(*SAVING)
        said = self.said(*self.in_folder("other", *SAVING), f"--checkpoint.initial_load_path={self.path('dump/checkpoint/step-2')}",
                         "--checkpoint.no-initial_load_model_only")
        self.assertIn("Training starts at step 3", said)
        self.assertEqual(self.weights(4, "other"), self.weights(4))

    def test_an_earlier_step_can_be_asked_for(self):
        self.train(*SAVING, "--training.steps=6")
        expected = self.weights(6)
        said = self.said(*SAVING, "--training.steps=6", "--checkpoint.load_step=2")
        self.assertIn("later checkpoints are set aside", said)
        self.assertIn("Training starts at step 3", said)
        self.assertEqual(self.weights(6), expected)
        self.assertEqual(self.steps(), [1, 2, 3, 4, 5, 6])

    def test_a_run_that_went_back_goes_on_with_its_own_branch(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                shutil.rmtree(self.path("dump"), ignore_errors=True)
                job = [*SAVING, *(["--comm.mode=local_tensor", "--parallelism.data_parallel_shard_degree=2"] if ranks == 2 else [])]
                env = {"NGPU": str(ranks)}
                self.train(*job, "--training.steps=10", env=env)
                job += ["--checkpoint.interval=3", "--checkpoint.keep_latest_k=2"]
                said = self.said(*job, "--training.steps=8", "--checkpoint.load_step=2", env=env)
                self.assertIn("step-10' is of the branch that it leaves, and is called", said)
                names = set(os.listdir(self.path("dump/checkpoint")))
                self.assertLessEqual({"step-6", "step-8", "abandoned-4", "abandoned-6", "abandoned-8", "abandoned-10"}, names)
                self.assertNotIn("step-10", names)
                said = self.said(*job, "--training.steps=10", env=env)
                self.assertIn("Training starts at step 9", said)
                self.assertTrue(os.path.exists(self.path("dump/checkpoint/abandoned-10/.metadata")))

    def test_requests_that_cannot_be_met(self):
        self.assertIn("there is no complete checkpoint", self.refused(*SAVING, "--checkpoint.load_step=7", exit_status=1))
        self.assertIn("there is no such folder", self.refused(*SAVING, "--checkpoint.initial_load_path=/nowhere", exit_status=1))
        self.train(*SAVING)
        self.assertIn("holds the steps 2, 4", self.refused(*SAVING, "--checkpoint.load_step=7", exit_status=1))
        self.assertIn('must be "model", "optimizer"', self.refused(*SAVING, "--checkpoint.exclude_from_loading=weights"))
        wider = self.refused(*SAVING, "--model.flavor=debugmodel", exit_status=1)
        self.assertIn("tok_embeddings.weight", wider)
        self.assertIn("cannot continue", self.refused(*SAVING, "--training.steps=9", "--training.dataset_path",
                                                      self.write("other.jsonl", '{"text": "hello"}\n'), exit_status=1))

    def test_parts_can_be_left_out(self):
        self.train(*SAVING)
        said = self.said(*SAVING, "--training.steps=6", "--checkpoint.exclude_from_loading=dataloader,optimizer")
        self.assertIn("(model, lr_scheduler, train_state, rng_state, job_config)", said)
        self.assertIn("Training starts at step 5", said)

    def test_what_has_changed_since_is_named(self):
        self.train(*SAVING)
        said = self.said(*SAVING, "--training.steps=6", "--optimizer.lr=0.5")
        self.assertIn("optimizer.lr is 0.5 now and was 0.0008", said)

    def test_load_only_saves_nothing(self):
        self.train(*SAVING, "--checkpoint.load_only")
        self.assertFalse(os.path.exists(self.path("dump/checkpoint")))

    def test_the_last_save_for_hugging_face_is_where_another_run_begins(self):
        job = ["--checkpoint.enable", "--checkpoint.last_save_in_hf", "--checkpoint.last_save_model_only", "--debug.log_hashes"]
        self.train(*job, "--comm.mode=local_tensor", "--parallelism.data_parallel_shard_degree=2", "--training.steps=3", env={"NGPU": "2"})
        folder = self.path("dump/checkpoint/step-3")
        self.assertIn("model.safetensors.index.json", os.listdir(folder))
        said = self.said(*job, "--training.steps=3")
        self.assertIn("the run is complete", said)
        start = ["--checkpoint.enable", "--checkpoint.initial_load_in_hf", f"--checkpoint.initial_load_path={folder}", "--debug.log_hashes"]
        expected = {name: sha for name, sha in self.weights(3).items()}
        for name, ranks in (("one", 1), ("three", 3)):
            layout = ["--comm.mode=local_tensor", "--parallelism.data_parallel_shard_degree=3"] if ranks == 3 else []
            self.train(*self.in_folder(name, *start), *layout, "--training.steps=1", env={"NGPU": str(ranks)})
            self.assertEqual(self.weights(0, name), expected)

    def test_nothing_to_train_is_said_and_the_export_is_written(self):
        export = ["--checkpoint.last_save_in_hf", "--checkpoint.last_save_model_only"]
        sharded = ["--comm.mode=local_tensor", "--parallelism.data_parallel_shard_degree=2"]
        self.train(*SAVING, "--training.steps=6")
        said = self.said(*SAVING, "--training.steps=3")
        self.assertIn("Nothing was to be trained: the checkpoint is of step 6, and training.steps is 3", said)
        self.assertNotIn("Training completed", said)
        for step, job in ((6, []), (4, ["--checkpoint.load_step=4", *sharded])):
            with self.subTest(step=step):
                self.assertIn("Nothing was to be trained", self.said(*SAVING, *export, *job, "--training.steps=4", env={"NGPU": "2"}))
                names = os.listdir(self.path(f"dump/checkpoint/step-{step}"))
                self.assertLessEqual({".metadata", "config.json", "model.safetensors.index.json"}, set(names))
                self.train(*self.in_folder(f"from_{step}", "--checkpoint.enable", "--debug.log_hashes", "--training.steps=1",
                                           "--checkpoint.initial_load_in_hf",
                                           f"--checkpoint.initial_load_path={self.path(f'dump/checkpoint/step-{step}')}"))
                self.assertEqual(self.weights(0, f"from_{step}"), self.weights(step))
        self.assertIn("Training starts at step 7", self.said(*SAVING, "--training.steps=7"))

    def test_a_complete_run_of_a_model_only_is_exported(self):
        job = ["--checkpoint.enable", "--checkpoint.last_save_model_only", "--training.steps=3"]
        self.train(*job)
        for _ in range(2):
            self.assertIn("Nothing was to be trained", self.said(*job, "--checkpoint.last_save_in_hf"))
            self.assertLessEqual({".metadata", "model.safetensors.index.json"}, set(os.listdir(self.path("dump/checkpoint/step-3"))))

    def test_a_folder_that_cannot_be_written_ends_the_job_at_once(self):
        self.write("dump/checkpoint", "a file where a folder should be")
        self.assertIn("checkpoint", self.refused(*SAVING, exit_status=1))

    def test_a_second_job_in_the_same_folder_is_refused(self):
        first = self.start(*SAVING, "--training.steps=100000", "--checkpoint.interval=1000")
        try:
            while not os.path.exists(self.path("dump/metrics.jsonl")):
                time.sleep(0.05)
                self.assertIsNone(first.poll())
            self.assertIn(f"is locked by process {first.pid}", self.refused(*SAVING, exit_status=1))
        finally:
            first.kill()
            first.communicate()
        self.train(*SAVING)

    def test_a_step_holds_one_format(self):
        hugging_face = ["--checkpoint.last_save_in_hf", "--checkpoint.last_save_model_only"]
        self.train(*SAVING)
        self.train(*SAVING, *hugging_face, "--checkpoint.load_step=2")
        self.assertNotIn(".metadata", os.listdir(self.path("dump/checkpoint/step-4")))
        self.train(*SAVING, "--checkpoint.load_step=2")
        self.assertEqual(sorted(os.listdir(self.path("dump/checkpoint/step-4"))), [".metadata", "__0_0.distcp"])

    def test_a_seed_does_not_get_among_the_checkpoints_of_a_run(self):
        self.train(*SAVING)
        self.assertIn("holds checkpoints already", self.refused(*SAVING, "--checkpoint.create_seed_checkpoint", exit_status=1))

    def test_a_file_that_may_not_grow_is_an_error_and_not_the_end(self):
        self.train(*SAVING)
        command = self.arguments(*SAVING, "--training.steps=7")
        result = subprocess.run(["bash", "-c", 'ulimit -f 500; exec "$@"', "bash", *command], cwd=ROOT, env=environment(None), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("File too large", result.stdout)
        self.assertIn("Training starts at step 5", self.said(*SAVING, "--training.steps=7"))

    def test_files_beside_the_run_that_cannot_be_written_are_not_its_end(self):
        os.makedirs(self.path("dump"))
        for name in ("hashes.jsonl", "samples.jsonl", "metrics.jsonl"):
            os.symlink("/dev/full", self.path("dump", name))
        data = self.write("some.jsonl", "".join(json.dumps({"text": "some words " * 99}) + "\n" for _ in range(20)))
        said = self.said(*SAVING, *VALIDATING, "--validation.dataset_path", data, "--validation.freq=2", "--validation.steps=1",
                         "--validation.sample_prompts=[\"Once\"]", "--validation.sample_tokens=4")
        for name in ("hashes.jsonl", "samples.jsonl", "metrics.jsonl"):
            self.assertRegex(said, rf"ERROR.*{name}.*No space left on device")
        self.assertEqual(sorted(os.listdir(self.path("dump/checkpoint"))), [".lock", "step-2", "step-4"])

    def test_the_last_checkpoint_is_saved_before_a_validation_that_fails(self):
        data = self.write("bad.jsonl", '{"text": "too short for a row"}\n')
        error = self.refused(*SAVING, "--training.steps=1", *VALIDATING, "--validation.steps=-1",
                             "--validation.dataset_path", data, exit_status=1)
        self.assertIn("the validation of step 1 found no tokens", error)
        self.assertEqual(sorted(os.listdir(self.path("dump/checkpoint"))), [".lock", "step-1"])

    def test_damage_is_an_error_that_says_where(self):
        self.train(*SAVING)
        data = self.path("dump/checkpoint/step-4/__0_0.distcp")
        with open(data, "rb") as file:
            content = bytearray(file.read())
        content[len(content) // 2] ^= 1
        with open(data, "wb") as file:
            file.write(content)
        self.assertRegex(self.refused(*SAVING, "--training.steps=6", exit_status=1), r"__0_0\.distcp.*byte")
        shutil.rmtree(self.path("dump/checkpoint/step-4"))
        self.assertIn("Training starts at step 3", self.said(*SAVING))
