"""Every kind of bad input ends in one clear message and the right exit status; nothing is trained on it."""
import json
import os
import subprocess
import unittest

from titan import ROOT, TitanTest


class BadConfigTest(TitanTest):
    def test_all_problems_come_together_with_places_and_nearest_names(self):
        config = self.write("bad.toml", '[training]\nstepz = 3\nseq_len = "long"\nlocal_batch_size = 0\n[optimiser]\nlr = 1\n')
        message = self.refused(config=config, small=False)
        for part in ("bad.toml:2:1", "steps", "bad.toml:3:", "bad.toml:4:", "bad.toml:5:", "optimizer"):
            self.assertIn(part, message)
        self.assertFalse(os.path.exists(self.path("dump")))

    def test_a_step_of_more_rows_than_any_memory_holds(self):
        for rows in (10**18, 2 * 10**12):
            self.assertIn(f"training.global_batch_size ({rows}) is {rows // 2} microbatches of 2",
                          self.refused(f"--training.global_batch_size={rows}"))

    def test_a_key_of_fifty_thousand_parts(self):
        config = self.write("deep.toml", "[" + "a." * 50_000 + "a]\nb = 1\n")
        self.assertIn("deep.toml:1:33: a key of more parts than any option has", self.refused(config=config, small=False))

    def test_a_working_directory_that_is_gone(self):
        gone = self.path("gone")
        os.mkdir(gone)
        command = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
        result = subprocess.run(["bash", "-c", command, "bash", *self.arguments()], text=True, capture_output=True)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("titan_train: the working directory cannot be used (No such file or directory)", result.stderr)

    def test_missing_config_file(self):
        self.assertIn("no_such.toml", self.refused(config=self.path("no_such.toml")))

    def test_unknown_model_lists_the_known_ones(self):
        self.assertIn("llama3", self.refused("--model.name=lama3"))

    def test_unknown_flavor_lists_the_known_ones(self):
        self.assertIn("debugmodel_flex_attn", self.refused("--model.flavor=9B"))

    def test_a_check_tells_everything_at_once(self):
        config = self.write("bad.toml", '[model]\nname = "lama3"\nhf_assets_path = "no/assets"\nconverters = ["mine"]\n'
                            '[training]\ndataset_path = "no/data"\nstepz = 3\n[checkpoint]\nenable = true\n'
                            'initial_load_path = "no/start"\nexclude_from_loading = ["data_loader"]\n')
        message = self.refused("--check", config=config, small=False)
        for part in ("bad.toml:2:8: ", "Registered: deepseek_v3, llama3", "bad.toml:3:", '"no/assets" does not exist', "bad.toml:4:", "mine",
                     "bad.toml:6:", '"no/data" does not exist', "bad.toml:7:1: unknown option", "bad.toml:10:",
                     '"no/start" does not exist', "bad.toml:11:", "did you mean 'dataloader'"):
            self.assertIn(part, message)

    def test_a_check_of_what_is_there(self):
        self.assertIn("is valid for 1 rank", self.train("--check").stdout)

    def test_an_unknown_model_has_its_place_in_the_file(self):
        config = self.write("bad.toml", '[model]\n\nflavor = "9B"\n')
        self.assertIn("bad.toml:3:10: model.flavor: llama3 has no flavor 9B", self.refused(config=config, small=False))

    def test_what_is_not_built_yet_is_refused(self):
        self.assertIn("not available in this build yet", self.refused("--fault_tolerance.enable"))

    def test_parallelism_that_a_model_has_no_use_for_is_refused_before_ranks_meet(self):
        ranks = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        message = self.refused("--parallelism.expert_parallel_degree=2", env=ranks)
        self.assertIn("parallelism.expert_parallel_degree = 2: llama3 tiny cannot be cut so: the model has no experts", message)
        nearest = message.partition("nearest valid layouts:")[2]
        self.assertTrue(nearest)
        self.assertNotIn("expert_parallel_degree", nearest)

    def test_a_launcher_that_says_half_or_nonsense(self):
        self.assertIn("WORLD_SIZE", self.refused(env={"WORLD_SIZE": "two"}))
        self.assertIn("RANK: is not set", self.refused(env={"WORLD_SIZE": "2"}))

    def test_a_parameter_group_that_matches_nothing(self):
        config = self.write("g.toml", '[[optimizer.param_groups]]\npattern = "no_such_layer"\nlr_scale = 2.0\n')
        self.assertIn("no_such_layer", self.refused(config=config))

    def test_cuda_without_a_gpu(self):
        self.assertIn("CUDA_VISIBLE_DEVICES",
                      self.refused("--training.device=cuda", env={"CUDA_VISIBLE_DEVICES": ""}, exit_status=1))


class BadDataTest(TitanTest):
    def refused_data(self, content, name="text.jsonl"):
        path = self.write(name, content)
        return self.refused("--training.dataset_path", path, exit_status=1)

    def test_missing(self):
        self.assertIn("nothing_here", self.refused("--training.dataset_path", self.path("nothing_here.jsonl"), exit_status=1))

    def test_empty(self):
        self.assertIn("text.jsonl", self.refused_data(""))

    def test_blank_lines_only(self):
        self.assertIn("text.jsonl", self.refused_data("\n\n  \n"))

    def test_line_without_text(self):
        self.assertIn("text.jsonl:2", self.refused_data('{"text": "fine"}\n{"txt": "not"}\n'))

    def test_text_that_is_no_string(self):
        self.assertIn("text.jsonl:1", self.refused_data('{"text": 7}\n'))

    def test_truncated_line(self):
        self.assertIn("text.jsonl:2", self.refused_data('{"text": "fine"}\n{"text": "cut o'))

    def test_binary_garbage(self):
        self.assertIn("text.jsonl:1", self.refused_data(bytes(range(256)) * 16))

    def test_folder_without_text_files(self):
        os.mkdir(self.path("empty"))
        self.assertIn("empty", self.refused("--training.dataset_path", self.path("empty"), exit_status=1))

    def test_unicode_paths_and_text_are_fine(self):
        path = self.write("mélange ☃/日本.jsonl", json.dumps({"text": "naïve ☃ 日本語 " * 50}, ensure_ascii=False) + "\n")
        self.train("--training.dataset_path", path)


class BadTokenizerTest(TitanTest):
    def tokenizer(self, change=None, raw=None):
        with open(os.path.join(ROOT, "tests/assets/tokenizer/tokenizer.json")) as file:
            tokenizer = json.load(file)
        if change:
            change(tokenizer)
        self.write("tokenizer/tokenizer.json", raw if raw is not None else json.dumps(tokenizer))
        return "--model.hf_assets_path=" + self.path("tokenizer")

    def test_missing_folder(self):
        self.assertIn("no_tokenizer", self.refused("--model.hf_assets_path=" + self.path("no_tokenizer"), exit_status=1))

    def test_damaged_file(self):
        self.assertIn("tokenizer.json", self.refused(self.tokenizer(raw='{"model": {"type": "BPE", "vocab"'), exit_status=1))

    def test_more_tokens_than_the_model_embeds(self):
        def add(tokenizer):
            special = tokenizer["added_tokens"][-1]
            tokenizer["added_tokens"] += [{**special, "id": 2048 + i, "content": f"<|extra {i}|>"} for i in range(10)]
        message = self.refused(self.tokenizer(add))
        self.assertIn("2058", message)
        self.assertIn("2048", message)

    def test_without_bos_it_says_so_and_trains(self):
        def remove(tokenizer):
            tokenizer["added_tokens"] = []
            tokenizer["post_processor"] = None
        self.assertIn("no BOS token", self.train(self.tokenizer(remove)).stdout)


class BadDiskTest(TitanTest):
    def test_help_that_cannot_be_written_is_no_success(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([os.environ["TITAN_TRAIN"], "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left on device", result.stderr)

    def test_the_config_is_saved_under_the_dump_folder_or_where_an_absolute_path_says(self):
        self.train("--job.save_config_file=sub/config.json")
        with open(self.path("dump", "sub", "config.json")) as file:
            self.assertEqual(json.load(file)["training"]["steps"], 4)
        self.train("--job.save_config_file", self.path("elsewhere.json"))
        self.assertTrue(os.path.exists(self.path("elsewhere.json")))

    def test_unwritable_dump_folder(self):
        self.write("file", "in the way")
        self.assertIn("file", self.refused("--job.dump_folder", self.path("file", "dump"), exit_status=1))

    def test_a_full_disk_while_logging_is_loud_and_does_not_end_the_run(self):
        os.mkdir(self.path("dump"))
        os.symlink("/dev/full", self.path("dump", "metrics.jsonl"))
        output = self.train().stdout
        self.assertIn("No space left on device", output)
        self.assertIn("step:  4", output)


if __name__ == "__main__":
    unittest.main()
