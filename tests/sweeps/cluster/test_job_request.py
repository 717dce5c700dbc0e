"""What a job is asked to do, checked before anything is sent."""

from datetime import datetime

import pytest

from stclip.errors import ConfigError
from sweeps.cluster.job_request import make_request

NOW = datetime(2026, 11, 24, 3, 45, 12)


def test_the_job_and_its_sweep_share_a_readable_name():
    request = make_request(["--space", "smoke", "--results", "/shared"], None, NOW)
    assert request.submission_id == "smoke-20261124-034512"
    assert (
        request.command == "python sweeps/run.py --space smoke --results /shared --name smoke-20261124-034512"
    )


def test_a_name_of_the_users_is_kept():
    given = make_request(["--space", "smoke", "--results", "/shared"], "my.run", NOW)
    assert given.submission_id == "my-run-20261124-034512"
    assert given.arguments[-2:] == ["--name", "my.run"]
    own = ["--space", "smoke", "--results", "/shared/results", "--name", "mine"]
    assert make_request(own, None, NOW).arguments == own
    assert make_request(own, "mine", NOW).submission_id == "mine-20261124-034512"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "smoke"], "a job needs --results"),
        (["--space", "smoke", "--results", "results"], "--results of a job is an absolute path or an address, got 'results'"),
        (["--space", "smoke", "--results", "/r", "--debug"], "--debug is for one trial under a debugger"),
        (["--space", "smok", "--results", "/r"], "unknown space 'smok'; did you mean 'smoke'"),
        (["--space", "/tmp/mine.yaml", "--results", "/r"], "copy it to configs/space/"),
        (["--space", "../elsewhere.yaml", "--results", "/r"], "copy it to configs/space/"),
        (["--space", "smoke", "--results", "/r", "--data", "my_slides"], "data are not sent with a job"),
        (["--space", "smoke", "--results", "/r", "--data", "./my_slides"], "data are not sent with a job"),
        (["--space", "smoke", "--results", "/r", "--set", "model.embed_dimm=2"], "embed_dim"),
        (["--space", "smoke", "--results", "/r", "--name", "other"], "give --name once"),
    ],
)  # fmt: skip
def test_what_cannot_work_in_a_job_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_request(arguments, "mine", NOW)


@pytest.mark.parametrize("flag", ["--results", "--resume"])
def test_results_at_an_address_are_accepted(flag):
    given = ["--space", "smoke", flag, "s3://bucket/results/n", "--name", "n"]
    assert make_request(given, None, NOW).arguments == given


@pytest.mark.parametrize("data", ["/shared/slides", "s3://bucket/slides", "synthetic_small"])
def test_data_that_a_cluster_can_reach_are_accepted(data):
    arguments = ["--space", "smoke", "--results", "/r", "--data", data, "--name", "n"]
    assert make_request(arguments, None, NOW).arguments == arguments


def test_looking_needs_no_results_folder():
    assert make_request(["--list"], None, NOW).submission_id == "list-20261124-034512"
    assert make_request(["--space", "smoke", "--dry-run"], None, NOW).arguments == [
        "--space",
        "smoke",
        "--dry-run",
    ]
