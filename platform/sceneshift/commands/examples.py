"""What ``--help`` says first: a sentence per command, and examples, one per line. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass

from sceneshift.commands import program

#: Comments are aligned behind commands of at most this length.
_ALIGNED = 88


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The introduction of a command.

    Args:
        summary: A sentence.
        lines: Arguments and what they do.
        note: A sentence after the examples.
    """

    summary: str
    lines: tuple[tuple[str, str], ...]
    note: str = ""

    def description(self, *, first: str = "") -> str:
        """The introduction for the program that is running.

        Args:
            first: A word before the arguments of every example.
        """
        start = f"{program.shown()} {first}".rstrip()
        commands = [f"{start} {arguments}".rstrip() for arguments, _ in self.lines]
        # A long one moves its own comment, not those of the others.
        width = max([len(command) for command in commands if len(command) <= _ALIGNED], default=0)
        examples = [f"  {command:{width}}  # {what}" for command, (_, what) in zip(commands, self.lines, strict=True)]
        return "\n".join([self.summary, "", "Examples:", *examples, *(["", self.note] if self.note else [])])


#: By the name of the console command, which is also the script's, except for ``tune``.
EXAMPLES: Mapping[str, Examples] = {
    "tune": Examples(
        summary="Search a method's hyperparameters across source -> unseen-target scene pairs, or within one scene.",
        lines=(
            ("", "embedded Indian Pines, on a laptop: eight minutes"),
            ("--smoke-test", "run every part once, in a minute"),
            ("--pairs sw-se --num-samples 20", "one pair, more trials"),
            ("--profile paper --gpus-per-trial 0.5 --storage-path s3://bucket/path", "on a cluster: docs/cluster.md"),
        ),
        note="The search space says which settings are searched; `train --method METHOD --list-settings` lists all of "
        "them. RAY_ADDRESS and MLFLOW_TRACKING_URI are honoured; without them, a local Ray and a SQLite file are used.",
    ),
    "train": Examples(
        summary="Train one method on one scene or on the source of a scene pair; map the whole scene or the target.",
        lines=(
            ("--method s2vnet --scene indian_pines", "split by blocks, a tenth trains"),
            ("--method s2vnet --scene indian_pines --split random", "as in the literature; leaks"),
            ("--method s2vnet --scene indian_pines --split fixed --train-mask TR.tif --test-mask TE.tif", "by masks"),
            ("--method s2amsnet --pair west-east --patch-size 7 --epochs 40", "a pair of scenes"),
            ("--method random_forest --pair west-east", "a spectral floor"),
            ("--method s2amsnet --list-settings", "what --set can set, with defaults"),
            ("--from-run RUN_ID", "repeat a run from MLflow and compare"),
        ),
        note="MLFLOW_TRACKING_URI is honoured; without it, a SQLite file is used.",
    ),
    "compare": Examples(
        summary="Compare methods on scene pairs, tuned alike without target labels and scored once.",
        lines=(
            ("comparisons/example.toml --time-trainings 4", "four trainings, then expected hours"),
            ("comparisons/example.toml", "all; start it again to continue"),
            ("comparisons/example.toml --strategies infomax", "another choice, without training"),
            ("comparisons/example.toml --publish", "what is committed with the project"),
        ),
    ),
    "predict": Examples(
        summary="Map a scene with a registered model, and score the map if labels are given.",
        lines=(
            ("--model models:/s2amsnet-indian_pines-west@champion --scene indian_pines --out maps", "a known scene"),
            ("--model models:/NAME@champion --scene SCENE.hdr --out maps --format geotiff --confidence", "a file"),
        ),
        note="MLFLOW_TRACKING_URI is honoured; without it, the SQLite file under --storage-path is read.",
    ),
    "register": Examples(
        summary="Register a trial that the study did not choose, as a candidate.",
        lines=(("results/NAME 3", "trial 3, with the weights of its last epoch"),),
        note="Nothing is scored on a target. Compare it with the champion by the command that is printed.",
    ),
    "promote": Examples(
        summary="Choose which version of a model is the champion, after comparing the new and the old one.",
        lines=(
            ("--model s2amsnet-indian_pines-west", "the newest version"),
            ("--model s2amsnet-indian_pines-west --version 3 --yes", "without asking"),
            ("--model s2amsnet-indian_pines-west --on target", "READS THE TARGET'S LABELS"),
            ("--model s2amsnet-indian_pines-west --rollback", "the previous champion again"),
        ),
        note="The old champion gets the alias previous-champion. MLFLOW_TRACKING_URI is honoured.",
    ),
    "report": Examples(
        summary="Write a study's report as one HTML page, and its tables as Markdown, CSV and LaTeX.",
        lines=(
            ("results/NAME", "writes results/NAME/report/index.html"),
            ("NAME --storage-path results --out elsewhere", "by name, to another folder"),
            ("results/NAME --selection entropy", "choose again by another strategy, without training"),
        ),
    ),
    "scenes": Examples(
        summary="Look at scenes before anything is trained.",
        lines=(
            ("list --data-dir DIR", "known scenes, and which files are present or missing"),
            ("check Houston13_7gt.mat", "the contents of a file, compared with the published release"),
            ("show indian_pines", "a picture: false colours, label map, mean spectra"),
            ("pair west-east", "how far apart source and target are"),
            ("import cube.hdr --labels gt.tif --out scene.arrow", "convert once, open at once"),
            ("simulate --out DIR --atmosphere 0.4 --wavelengths-nm 400 2500", "a simulated pair"),
            ("export indian_pines --format envi --out scene.hdr", "for other programs"),
        ),
    ),
    "ui": Examples(
        summary="Serve MLflow's pages for the studies of a folder, and open the newest study's.",
        lines=(
            ("", "the studies in results/"),
            ("--storage-path /data/results --port 5001", "another folder, another port"),
        ),
        note="MLFLOW_TRACKING_URI is honoured.",
    ),
    "doctor": Examples(
        summary="Say what of this machine is fit for sceneshift: versions, cores, memory, GPU, writable folders.",
        lines=(("", "ten lines; the exit status is 1 if something is unfit"),),
    ),
}
