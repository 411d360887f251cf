"""The shape of every reply: what a client sees, by noun."""

from service.shapes.base import Number, Numbers, Page, Time, View
from service.shapes.capabilities import Capabilities, Kind, KnownDataset, Layer, Validation
from service.shapes.checkpoint import Checkpoint, CheckpointFile, CheckpointList
from service.shapes.fine_tuning import (
    FineTuningCheckpoint,
    FineTuningCheckpointList,
    FineTuningError,
    FineTuningEvent,
    FineTuningEventList,
    FineTuningJob,
    FineTuningJobList,
    FineTuningMethod,
    FineTuningMetrics,
    Hyperparameters,
)
from service.shapes.job import Best, Failure, Job, JobLinks, JobList, Machine, Parent, Progress, QueuePlace, TrainingData, Transition
from service.shapes.progress import Event, EventList, Live, MetricList, MetricPoint, Resync
from service.shapes.result import Lineage, Result, ResultClass, ResultLayer
from service.shapes.service import Check, Health, Readiness, Version, Worker, WorkerList

__all__ = [
    "Best",
    "Capabilities",
    "Check",
    "Checkpoint",
    "CheckpointFile",
    "CheckpointList",
    "Event",
    "EventList",
    "Failure",
    "FineTuningCheckpoint",
    "FineTuningCheckpointList",
    "FineTuningError",
    "FineTuningEvent",
    "FineTuningEventList",
    "FineTuningJob",
    "FineTuningJobList",
    "FineTuningMethod",
    "FineTuningMetrics",
    "Health",
    "Hyperparameters",
    "Job",
    "JobLinks",
    "JobList",
    "Kind",
    "KnownDataset",
    "Layer",
    "Lineage",
    "Live",
    "Machine",
    "MetricList",
    "MetricPoint",
    "Number",
    "Numbers",
    "Page",
    "Parent",
    "Progress",
    "QueuePlace",
    "Readiness",
    "Result",
    "ResultClass",
    "ResultLayer",
    "Resync",
    "Time",
    "TrainingData",
    "Transition",
    "Validation",
    "Version",
    "View",
    "Worker",
    "WorkerList",
]
