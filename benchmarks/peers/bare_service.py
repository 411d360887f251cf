"""The endpoint that people write in an afternoon: FastAPI takes a job and Celery's send_task hands it on. Nothing is durable but what
the broker keeps, nothing is checked but the shape, nothing can be read back."""

import os
from typing import Any
from uuid import uuid4

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

celery = Celery("bare", broker=os.environ.get("BROKER", "redis://127.0.0.1:6379/0"))
celery.conf.update(task_default_queue="bare", task_ignore_result=True)
app = FastAPI()


class Job(BaseModel):
    """What to train."""

    optimizer: dict[str, Any]
    penalties: list[dict[str, Any]] = []
    epochs: int = 10


@app.post("/v1/jobs", status_code=201)
def submit(job: Job) -> dict[str, str]:
    """Hand the job on."""
    job_id = uuid4().hex
    celery.send_task("train", args=[job_id, job.model_dump()])
    return {"id": job_id}
