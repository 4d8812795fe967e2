"""The stages of the pipeline, in order: the one table behind rules, command line, fingerprints and manifests (see `sensei.study.stage`)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from sensei.annotators.prompts import load_prompt
from sensei.core.errors import SenseiError
from sensei.study.analysis_stages import Figure, Published, Report, Tables, Tabulate
from sensei.study.layout import CollectionFiles, LabelFiles, Layout, RunFiles, log_beside
from sensei.study.models.annotators import annotator_class
from sensei.study.models.study import Study
from sensei.study.slices import (
    ASKING,
    annotator_code,
    asked_about,
    asked_as,
    families,
    of_run,
    prompts,
    run_code,
    settled,
)
from sensei.study.stage import Job, Paths, Stage

NOT_EXPLORED = ("learn_steps", "evaluate_every", "evaluate_episodes", "explored_behaviour")
NOT_LEARNED = ("explore_steps",)
FOLDER = "folder for metrics.jsonl, events.parquet, agent.pt, video.mp4 and checkpoint/; by default the study's"


class Explore(Stage):
    """Explore one environment with one method; resumes from the folder's checkpoint.

    The collector's runs for the pairs also keep every episode in the folder, and so do those of several generations, all of whose runs
    but the last leave their state too: the next one goes on with it.
    """

    name = "explore"
    axes = ("environment", "method", "seed", "generation")
    own = {"reward": "reward.safetensors, for methods with a semantic reward; by default the study's", "folder": FOLDER}
    threads = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return _outputs_of(files.explore(job.environment, job.method, job.seed, job.generation))

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        if not study.methods[job.method].needs_reward_model:
            return {}
        annotator, before = study.annotator_of(job.method, job.environment), self._before(files, job)
        reward = {"reward": files.reward(job.environment, annotator, job.generation).model}
        return reward | ({"explored": before.agent, "events": before.events} if before else {})

    def folders(self, study: Study, files: Layout, job: Job) -> dict[Path, Path]:
        before = self._before(files, job)
        return {before.handed_on: before.agent, before.episodes: before.events} if before else {}

    def kept(self, study: Study, job: Job, outputs: dict[str, Path]) -> dict[Path, Path]:
        run, last = RunFiles(outputs["events"].parent), study.last_generation(job.environment, job.method)
        episodes = {run.episodes: run.events} if self._keeps(study, job) else {}
        return episodes | ({run.handed_on: run.agent} if int(job.generation) < last else {})

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        kept = study.settings[job.environment].pairs.seeds if job.method == study.collector else []
        found, last = of_run(study, job, NOT_EXPLORED) | {"episodes_of": kept}, study.last_generation(job.environment, job.method)
        return found | ({"until": self._until(study, job), "goes_on": int(job.generation) < last} if last > 1 else {})

    def code(self, study: Study, job: Job) -> list[str]:
        return run_code(study, job)

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.training.runs import explore

        folder, keep = outputs["agent"].parent, self._keeps(study, job)
        before = inputs["explored"].parent if "explored" in inputs else None
        segment = {"until": self._until(study, job), "before": before, "goes_on": self.settings(study, job).get("goes_on", False)}
        explore(study, job.environment, job.method, int(job.seed), folder, inputs.get("reward"), keep_episodes=keep, **segment)

    def _keeps(self, study: Study, job: Job) -> bool:
        """Whether the run is one whose episodes are data for the pairs, or for the rewards of a further generation."""
        settings = self.settings(study, job)
        return int(job.seed) in settings["episodes_of"] or "until" in settings

    def _until(self, study: Study, job: Job) -> int:
        """Agent steps after which the run ends."""
        ends, last = study.generation_ends(job.environment), study.last_generation(job.environment, job.method)
        return ends[int(job.generation) - 1] if last > 1 else ends[-1]

    def _before(self, files: Layout, job: Job) -> RunFiles | None:
        """The run with which this one goes on."""
        first = job.generation == "1"
        return None if first else files.explore(job.environment, job.method, job.seed, int(job.generation) - 1)


class Collect(Stage):
    """Verify the episodes of the exploration run that is labelled and index them; nothing is played twice."""

    name = "collect"
    axes = ("environment", "seed", "generation")

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return {"index": files.collect(job.environment, job.seed, job.generation).index}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        return {"events": self._run(study, files, job).events}

    def folders(self, study: Study, files: Layout, job: Job) -> dict[Path, Path]:
        run = self._run(study, files, job)
        return {run.episodes: run.events}

    def _run(self, study: Study, files: Layout, job: Job) -> RunFiles:
        """Whose episodes they are: for a further generation, those of the run that was guided by the reward of the one before it."""
        generation = int(job.generation)
        return files.explore(job.environment, study.collector_of(generation), job.seed, max(generation - 1, 1))

    def kept(self, study: Study, job: Job, outputs: dict[str, Path]) -> dict[Path, Path]:
        return {CollectionFiles(outputs["index"].parent).episodes: outputs["index"]}

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.replay.episodes"]

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.replay.episodes import collect

        collect(RunFiles(inputs["events"].parent).episodes, outputs["index"].parent)


class Pairs(Stage):
    """Draw which frames are compared."""

    name = "pairs"
    axes = ("environment", "generation")
    draws = True
    threads = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        made = files.pairs(job.environment, job.generation)
        return {"pairs": made.pairs, "frames": made.frames}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        return {"index": [collection.index for collection in self._collections(study, files, job)]}

    def folders(self, study: Study, files: Layout, job: Job) -> dict[Path, Path]:
        return {collection.episodes: collection.index for collection in self._collections(study, files, job)}

    def _collections(self, study: Study, files: Layout, job: Job) -> list[CollectionFiles]:
        return [files.collect(job.environment, seed, job.generation) for seed in study.settings[job.environment].pairs.seeds]

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        settings = settled(study.settings_of(job.environment, int(job.generation)))
        return {key: settings["pairs"][key] for key in ("kind", "number", "seeds")} | {"environment": settings["environment"]}

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.preferences.pairs", *families(study, [job.environment])]

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.preferences.pairs import make_pairs

        parts = study.settings_of(job.environment, int(job.generation))
        collections = {seed: index.parent for seed, index in zip(parts.pairs.seeds, inputs["index"], strict=True)}
        made = outputs["pairs"], outputs["frames"]
        make_pairs(collections, parts.pairs, self.seed(study, job), *made, parts.environment, threads)


class OwnPairs(Pairs):
    """Draw the pairs about which an annotator with `episodes` of its own is asked."""

    name = "own-pairs"
    axes = ("environment", "annotator", "generation")

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        made = files.pairs(job.environment, job.generation, job.annotator)
        return {"pairs": made.pairs, "frames": made.frames}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        from sensei.replay.brought import files_of  # which imports pandas: not for `--help`

        return {"episodes": files_of(self._folder(study, job))}

    def folders(self, study: Study, files: Layout, job: Job) -> dict[Path, Path]:
        return {}

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.preferences.pairs import pair_brought

        parts, made = study.settings[job.environment], (outputs["pairs"], outputs["frames"])
        pair_brought(self._folder(study, job), parts.pairs, self.seed(study, job), *made, parts.environment, threads)

    def _folder(self, study: Study, job: Job) -> Path:
        if not (folder := study.annotator_settings[job.annotator].episodes):
            raise SenseiError(f"annotator {job.annotator} has no `episodes` of its own", hint="its pairs are those of stage `pairs`")
        return Path(folder)


class CaptionClip(Stage):
    """Train the model of an annotator of kind captioned_clip on the frames of the pairs and the environment's words for them."""

    name = "caption-clip"
    axes = ("environment", "annotator", "generation")
    draws = True
    threads = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        model = files.labels(job.environment, job.annotator, job.generation).model
        return {"config": model.config, "weights": model.weights, "card": model.card}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        made = asked_about(study, files, job)
        return {"pairs": made.pairs, "frames": made.frames, "prompt": prompts(study, job)}

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        asked, environment = Annotate().settings(study, job), settled(study.settings[job.environment].environment)
        return {"annotator": asked["annotator"], "prompt": asked["prompt"], "environment": environment}

    def code(self, study: Study, job: Job) -> list[str]:
        return [annotator_code(study, job), *families(study, [job.environment])]

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        options, parts = study.annotator_settings[job.annotator], study.settings[job.environment]
        kind = annotator_class(options.kind)
        if not kind.trained:
            raise SenseiError(f"annotator {job.annotator} is not trained", found=f"kind {options.kind}", hint="it can be asked as it is")
        prompt = study.prompt_of(job.annotator, job.environment)
        kind.train(options, parts.environment, inputs["pairs"], inputs["frames"], self.seed(study, job), prompt, outputs["card"].parent)


class Annotate(Stage):
    """Ask an annotator about one shard of the pairs; keeps the replies it already has."""

    name = "annotate"
    axes = ("environment", "annotator", "shard", "generation")
    draws = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return {"replies": files.labels(job.environment, job.annotator, job.generation).shard(job.shard)}

    def log(self, files: Layout, job: Job) -> Path:
        return log_beside(self.outputs(files, job)["replies"], f"shard{job.shard}")

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        made, options = asked_about(study, files, job), study.annotator_settings[job.annotator]
        own = annotator_class(options.kind).sources(options, files.labels(job.environment, job.annotator, job.generation))
        return {"pairs": made.pairs, "frames": made.frames, "own": own, "prompt": prompts(study, job)}

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        settings, prompt = settled(study.settings[job.environment]), study.prompt_of(job.annotator, job.environment)
        asking = settled(study.asking(job.environment, job.annotator))
        return {
            "annotator": asked_as(study, job.annotator),
            "shards": settings["pairs"]["shards"],
            "prompt": load_prompt(prompt).sha256 if prompt else None,
            "asking": {key: asking[key] for key in ASKING},
        }

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.annotators.shards", annotator_code(study, job)]

    def facts(self, study: Study, job: Job) -> list[str]:
        return families(study, [job.environment])

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.annotators.contract import Assignment
        from sensei.annotators.shards import annotate_shard

        options, parts = study.annotator_settings[job.annotator], study.settings[job.environment]
        prompt, folder = study.prompt_of(job.annotator, job.environment), outputs["replies"].parent
        assignment = Assignment(self.seed(study, job), prompt, folder, Layout(folder.parents[2]).ledger, parts.environment)
        shards, asking = (int(job.shard), parts.pairs.shards), study.asking(job.environment, job.annotator)
        annotate_shard(inputs["pairs"], inputs["frames"], job.annotator, options, *shards, outputs["replies"], assignment, asking)


class Merge(Stage):
    """Merge the shards of an annotator into labels and describe them."""

    name = "merge"
    axes = ("environment", "annotator", "generation")

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        made = files.labels(job.environment, job.annotator, job.generation)
        return {"labels": made.labels, "card": made.card}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        made, shards = files.labels(job.environment, job.annotator, job.generation), study.settings[job.environment].pairs.shards
        return {"pairs": asked_about(study, files, job).pairs, "shards": [made.shard(number) for number in range(shards)]}

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return {"order": study.settings[job.environment].labels.order}

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.preferences.labels"]

    def facts(self, study: Study, job: Job) -> list[str]:
        return families(study, [job.environment])

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.preferences.labels import merge_shards

        parts = study.settings[job.environment]
        merge_shards(inputs["shards"], inputs["pairs"], outputs["labels"], outputs["card"], parts.environment, parts.labels.order)


class Trust(Stage):
    """Stop here if an annotator's labels are beyond the study's limits: nothing is distilled from them."""

    name = "trust"
    axes = ("environment", "annotator", "generation")

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return {"verdict": files.labels(job.environment, job.annotator, job.generation).verdict}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        return {"card": files.labels(job.environment, job.annotator, job.generation).card}

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return {key: value for key, value in settled(study.settings[job.environment].labels).items() if key not in ASKING}

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.preferences.trust"]

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.core.files import write_json
        from sensei.preferences.trust import read_card, require_trust

        require_trust(read_card(inputs["card"]), study.settings[job.environment].labels, job.annotator, job.environment)
        write_json(outputs["verdict"], self.settings(study, job))


class Distil(Stage):
    """Train the reward model on the labels of one annotator, those of all generations so far."""

    name = "distil"
    axes = ("environment", "annotator", "share", "generation")
    draws = True
    threads = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        made = files.reward(job.environment, job.annotator, job.generation, job.share)
        return {"model": made.model, "curves": made.curves, "card": made.card}

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        drawn = [asked_about(study, files, replace(job, generation=str(generation))) for generation in self._generations(job)]
        labels = [made.labels for made in self._answers(files, job)]
        return {"labels": labels, "pairs": [made.pairs for made in drawn], "frames": [made.frames for made in drawn]}

    def waits_for(self, study: Study, files: Layout, job: Job) -> list[Path]:
        return [made.verdict for made in self._answers(files, job)]

    def _generations(self, job: Job) -> range:
        return range(1, 1 + int(job.generation))

    def _answers(self, files: Layout, job: Job) -> list[LabelFiles]:
        return [files.labels(job.environment, job.annotator, generation) for generation in self._generations(job)]

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return {"reward": settled(study.settings[job.environment].reward)}

    def code(self, study: Study, job: Job) -> list[str]:
        return ["sensei.reward.distil"]

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.core.devices import place_on_gpu
        from sensei.reward.distil import distil

        parts = study.settings[job.environment]
        read = list(zip(*(inputs[name] for name in ("labels", "pairs", "frames")), strict=True))
        made = [outputs[name] for name in ("model", "curves", "card")]
        with place_on_gpu(parts.training.device, parts.training.runs_per_gpu):
            distil(read, parts.reward, self.seed(study, job), *made, parts.training.device, float(job.share))


class Learn(Stage):
    """Learn one task of the environment, from an explored agent or from scratch; resumes from the folder's checkpoint."""

    name = "learn"
    axes = ("environment", "task", "method", "seed")
    own = {"explored": "agent.pt of the exploration run, for methods that explore first; by default the study's", "folder": FOLDER}
    threads = True

    def outputs(self, files: Layout, job: Job) -> dict[str, Path]:
        return _outputs_of(files.learn(job.environment, job.task, job.method, job.seed))

    def inputs(self, study: Study, files: Layout, job: Job) -> Paths:
        if not study.methods[job.method].explores:
            return {}
        generation = study.last_generation(job.environment, job.method)
        return {"explored": files.explore(job.environment, job.method, job.seed, generation).agent}

    def settings(self, study: Study, job: Job) -> dict[str, Any]:
        return of_run(study, job, NOT_LEARNED)

    def code(self, study: Study, job: Job) -> list[str]:
        return run_code(study, job)

    def run(self, study: Study, job: Job, inputs: Paths, outputs: dict[str, Path], threads: int) -> None:
        from sensei.training.runs import learn

        learn(study, job.environment, job.task, job.method, int(job.seed), outputs["agent"].parent, inputs.get("explored"))


def _outputs_of(run: RunFiles) -> dict[str, Path]:
    return {"metrics": run.metrics, "events": run.events, "agent": run.agent, "video": run.video}


STAGES: dict[str, Stage] = {
    stage.name: stage()
    for stage in (
        *(Explore, Collect, Pairs, OwnPairs, CaptionClip, Annotate, Merge, Trust, Distil, Learn),
        *(Tabulate, Figure, Tables, Report, Published),
    )
}
