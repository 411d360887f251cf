"""The shape of every reply: what a client sees, by noun."""

from service.shapes.base import Number, Numbers, Page, Time, View
from service.shapes.batch import Outcome, OutcomeList, OutcomeProblem
from service.shapes.capabilities import Capabilities, Duration, Kind, KnownDataset, Layer, Memory, Validation, Warned
from service.shapes.checkpoint import Checkpoint, CheckpointFile, CheckpointList
from service.shapes.comparison import ComparedJob, ComparedResult, ComparedSeries, Comparison, Difference
from service.shapes.job import Best, Failure, Job, JobLinks, JobList, Machine, Parent, Progress, QueuePlace, TrainingData, Transition
from service.shapes.progress import Event, EventList, Live, MetricList, MetricPoint, Resync
from service.shapes.queue import Queue, QueueDepth, QueueWorkers
from service.shapes.result import Lineage, Result, ResultClass, ResultLayer
from service.shapes.service import Check, Health, Readiness, Version, Worker, WorkerList

__all__ = [
    "Best",
    "Capabilities",
    "Check",
    "Checkpoint",
    "CheckpointFile",
    "CheckpointList",
    "ComparedJob",
    "ComparedResult",
    "ComparedSeries",
    "Comparison",
    "Difference",
    "Duration",
    "Event",
    "EventList",
    "Failure",
    "Health",
    "Job",
    "JobLinks",
    "JobList",
    "Kind",
    "KnownDataset",
    "Layer",
    "Lineage",
    "Live",
    "Machine",
    "Memory",
    "MetricList",
    "MetricPoint",
    "Number",
    "Numbers",
    "Outcome",
    "OutcomeList",
    "OutcomeProblem",
    "Page",
    "Parent",
    "Progress",
    "Queue",
    "QueueDepth",
    "QueuePlace",
    "QueueWorkers",
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
    "Warned",
    "Worker",
    "WorkerList",
]
