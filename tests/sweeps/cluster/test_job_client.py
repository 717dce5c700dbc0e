"""What is said of a job that has ended."""

import pytest
from ray.dashboard.modules.job.common import JobStatus
from ray.dashboard.modules.job.pydantic_models import JobDetails, JobType

from sweeps.cluster.job_client import describe_job, exit_status, how_to_go_on, why_not_started


def details(status, code=None, message=None, command="python sweeps/run.py --list"):
    return JobDetails(
        type=JobType.SUBMISSION, submission_id="smoke-1", entrypoint="python -m sweeps.job", status=status,
        driver_exit_code=code, message=message, metadata={"command": command},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 1, 1),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.FAILED, -9, 137),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 130),
    ],
)
def test_exit_status_of_a_job(status, code, expected):
    assert exit_status(details(status, code)) == expected


def test_a_job_that_never_started_says_why_in_one_line():
    assert why_not_started(details(JobStatus.FAILED, None, "no\n  such image")) == "no such image"
    assert why_not_started(details(JobStatus.FAILED, 2, "bad input")) is None
    assert (
        describe_job(details(JobStatus.FAILED, -9))
        == "smoke-1: FAILED, exit status 137: python sweeps/run.py --list"
    )


RUN = "python sweeps/run.py --space spatial"
GO_ON = "what had finished is kept, go on by: python sweeps/submit.py --address http://a:1 -- --resume"


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (f"{RUN} --results '/s/my results/' --name=x", f"; {GO_ON} '/s/my results/x'"),
        (f"{RUN} --resume s3://b/r/x --trials 4", f"; {GO_ON} s3://b/r/x"),
        (f"{RUN} --results /s", ""),
        (f"{RUN} --name", ""),
        (f"{RUN} 'open", ""),
        ("", ""),
    ],
)
def test_a_killed_job_says_how_to_go_on(command, more):
    killed = details(JobStatus.FAILED, 137, command=command)
    assert how_to_go_on(killed, "http://a:1") == f"the driver of job smoke-1 was ended by signal 9{more}"


def test_a_job_that_speaks_for_itself_is_left_to_it():
    ended = [
        (JobStatus.SUCCEEDED, 0),
        (JobStatus.FAILED, 1),
        (JobStatus.FAILED, None),
        (JobStatus.STOPPED, -15),
    ]
    assert [how_to_go_on(details(*one), "http://a:1") for one in ended] == [None] * 4
