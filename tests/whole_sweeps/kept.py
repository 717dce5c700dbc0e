"""What a sweep's folder says, to compare a sweep that was interrupted with one that was not."""

import yaml

from stclip.errors import InputError
from sweeps.driver.reading_record import restore_readings
from sweeps.planning.command_line import make_parser
from sweeps.planning.resume import plan_to_resume
from sweeps.results.folder import ResultsFolder
from sweeps.results.record import SweepRecord
from sweeps.results.records import recorded_names
from sweeps.results.study_file import check_study_file, study_storage
from sweeps.search.family_search import FamilySearch
from sweeps.search.space import SearchSpace


def table(ended):
    """trials.csv without what depends on the clock and on the process that ran a trial."""
    left_out = {"seconds", "host", "peak_memory_mb", "peak_device_memory_mb"}
    return [{key: value for key, value in row.items() if key not in left_out} for row in ended.rows()]


def families(ended):
    """The summary's families without what depends on the clock."""
    tree = ended.summary()["families"]
    for entry in tree.values():
        entry["best"].pop("seconds")
    return tree


def recorded(folder):
    """Every record of the search's trials that the study has now."""
    if not (folder / "study.db").is_file():
        return []
    sweep = yaml.safe_load((folder / "sweep.yaml").read_text())
    space = SearchSpace.model_validate(sweep["space"])
    return FamilySearch(space, study_storage(folder / "study.db"), sweep["seed"]).snapshot()


def finished(folder):
    """name -> record, of the search's trials whose end the study knows."""
    return {record.name: record for record in recorded(folder) if record.state != "RUNNING"}


def trained_in(folder):
    """Run of the driver -> the trials that it gave to Ray."""
    return {
        int(path.name): {trial.name for trial in path.iterdir() if trial.is_dir()}
        for path in sorted((folder / "ray").glob("[0-9]*"))
    }


def section(report, title):
    """The text of report.md below a heading."""
    return report.partition(f"## {title}\n")[2].partition("\n## ")[0]


def plain(report):
    """The text of report.md without Markdown's backslashes and line breaks."""
    return " ".join(report.replace("\\", "").split())


def files_to_cut(folder):
    """Every file but the trials' logs and the lock; of Ray's own folder what has a content that could be read."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [
        name for name in names
        if (name.startswith("ray/") and name.endswith((".ckpt", ".json", ".pkl")))
        or not name.startswith(("ray/", "trials/", "driver.lock"))
    ]  # fmt: skip


def try_to_resume(folder):
    """The error that the driver would print before it starts Ray; None without one."""
    results = ResultsFolder(folder)
    try:
        plan = plan_to_resume(make_parser().parse_args(["--resume", str(folder)]))
        check_study_file(results.study_db)
        search = FamilySearch(plan.space, study_storage(results.study_db), plan.seed)
        SweepRecord(str(folder), results, None).check_traces(recorded_names(study_storage(results.study_db)))
        restore_readings(plan, results, study_storage(results.study_db), search.snapshot())
    except InputError as error:
        return str(error)
    return None
