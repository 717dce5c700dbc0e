"""A sweep at an address without a sweep: its first files, and how to look at them."""

import sqlite3
from contextlib import closing

import fsspec

SWEEP = {"name": "a", "seed": 3}


def begun(driver, name="first"):
    mirror, folder, runs = driver(name)
    folder.create(SWEEP)
    mirror.claim()
    with closing(sqlite3.connect(folder.study_db)) as study, study:
        study.execute("create table trials (name text)")
    mirror.begin(runs.start("command", None, {}))
    mirror.push()
    return mirror, folder, runs


def there(address):
    fs, path = fsspec.core.url_to_fs(address)
    return {name[len(path) :].strip("/"): fs.cat_file(name) for name in fs.find(path)}


def add_trial(folder, name):
    with closing(sqlite3.connect(folder.study_db)) as study, study:
        study.execute("insert into trials values (?)", [name])
    folder.trials_csv.write_text(folder.trials_csv.read_text() + name if folder.trials_csv.exists() else name)


def trials_in(content, tmp_path):
    path = tmp_path / "read.db"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as study:
        return [row[0] for row in study.execute("select name from trials")]
