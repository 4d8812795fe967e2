"""Numbers of a study by kind. Beyond a bound is a slip of the pen, such as a nought too many; the reason stands beside each."""

from typing import Annotated

from pydantic import Field

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every generator in use takes
Steps = Annotated[int, Field(ge=1, le=10**10)]  # four months at a thousand steps a second
EpisodeSteps = Annotated[int, Field(ge=1, le=10**6)]  # an episode is kept in memory whole
Workers = Annotated[int, Field(ge=1, le=1024)]  # each is a process with an interpreter of its own, on one machine
RunsOnCard = Annotated[int, Field(ge=1, le=64)]  # each takes half a gigabyte of a card before it computes anything
Count = Annotated[int, Field(ge=1, le=2**16)]  # rows of a batch, steps of a row, units of a layer: tensors grow with it
Updates = Annotated[int, Field(ge=0, le=10**7)]  # twenty times a run of the paper
Width = Annotated[int, Field(ge=8, le=2**14, multiple_of=8)]  # what a vector and a card's products like
Classes = Annotated[int, Field(ge=4, le=256, multiple_of=4)]
Rounds = Annotated[int, Field(ge=1, le=10**5)]  # of the same work: epochs, episodes
Generations = Annotated[int, Field(ge=1, le=1000)]  # each trains a reward model of all labels so far
Pairs = Annotated[int, Field(ge=1, le=10**8)]  # a row of a table each, and the price of a question
Side = Annotated[int, Field(ge=16, le=1024, multiple_of=4)]  # pixels; the convolutions halve it twice at least, the replay keeps its square
Share = Annotated[float, Field(ge=0, le=1)]
Mix = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something of the rest
Percent = Annotated[float, Field(ge=0, le=100)]
Weight = Annotated[float, Field(ge=0, le=10**4)]  # of one term beside others of about 1
Rate = Annotated[float, Field(gt=0, le=1)]  # of learning: above 1 no step is a small one
Epsilon = Annotated[float, Field(gt=0, le=1)]  # guards a division
Limit = Annotated[float, Field(gt=0, le=10**9)]  # what is beyond is cut; more is as good as no limit
Ratio = Annotated[float, Field(gt=0, le=2**16)]  # replayed steps per agent step: 64 updates of the paper's batch
