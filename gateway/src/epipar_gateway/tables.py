"""The tables of the gateway's own database; DBOS keeps its own beside them."""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 1

metadata = sa.MetaData()

schema_version = sa.Table(
    "epipar_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True),
)

scenes = sa.Table(
    "scenes",
    metadata,
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("folded_name", sa.String(400), nullable=False),  # lower case, for queries
    sa.Column("state", sa.SmallInteger, nullable=False),  # Scene.State
    sa.Column("created_us", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sa.Index("scenes_newest", "created_us", "id"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("scene", sa.String(63), nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),  # Job.Kind
    sa.Column("state", sa.SmallInteger, nullable=False),  # Job.State
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
    sa.Column("output", sa.String(400), nullable=False),  # store key of what it makes in the end
    sa.Column("output_hash", sa.String(64), nullable=False),  # of the options that make it
    sa.Column("step", sa.SmallInteger, nullable=False),  # index of the step that is due
    sa.Column("run", sa.Integer, nullable=False),  # how often that step was given to the queue anew
    sa.Column("executor", sa.String(64), nullable=False),  # who runs it now; "" where nobody does
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("message", sa.LargeBinary, nullable=False),  # the Job, as last told
    sa.Column("plan", sa.LargeBinary, nullable=False),  # requests of its steps, see plans.py
    sa.Index("jobs_newest", "created_us", "id"),
    sa.Index("jobs_of_scene", "scene", "created_us"),
    sa.Index("jobs_by_state", "state", "ended_us"),
    sa.Index("jobs_by_output", "output"),
)

job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("job", sa.String(12), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time_us", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # the WatchJobResponse as it is sent
)

request_ids = sa.Table(
    "request_ids",
    metadata,
    sa.Column("request_id", sa.String(64), primary_key=True),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("resource", sa.String(80), nullable=False),  # "jobs/…" or "scenes/…"
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Index("request_ids_by_age", "created_us"),
)

stage_timings = sa.Table(
    "stage_timings",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("step", sa.String(16), nullable=False),
    sa.Column("engine", sa.String(64), nullable=False),
    sa.Column("run", sa.BigInteger, nullable=False),  # when the call ended, in microseconds
    sa.Column("position", sa.SmallInteger, nullable=False),  # of the stage among the step's
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("frames", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Index("stage_timings_newest", "step", "engine", "id"),
)

executors = sa.Table(
    "executors",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("beat_us", sa.BigInteger, nullable=False),
)

# Beside "executors" and not in it: an earlier program still writes that one, and never sees this.
executor_versions = sa.Table(
    "executor_versions",
    metadata,
    sa.Column("executor", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),  # of the steps that it runs
)
