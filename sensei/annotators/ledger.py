"""The ledger: every question put to a model that costs money or time, and what came back. What stands in it is never asked again.

One SQLite file for all studies, `results/ledger.sqlite`, in WAL mode, so that processes on one machine may share it. (WAL needs shared
memory: not for a network file system with writers on several machines.) Before a question is sent it is *claimed*, so that no other
process asks it too and the most that it can cost counts; the claim ends with the answer and its price. A reply that broke on the way is a
*loss*: the server may have charged for it. A process that was killed leaves claims behind; the next one finds their owner dead and books
them as losses likewise.

What a question can cost at most is estimated. A model whose bill was higher has a *factor*, by which all that is claimed is multiplied.
Before its first bill a question under a budget goes alone, unless there is money for a hundred times what is claimed.
"""

import contextlib
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil

from sensei.annotators.questions import Answer, Question
from sensei.core.errors import SenseiError, quoted
from sensei.preferences.pair import Label

MINUTE = 60.0
HOST = socket.gethostname()
SCHEMA = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY, first TEXT NOT NULL, second TEXT NOT NULL, text TEXT NOT NULL, history TEXT NOT NULL, prompt TEXT NOT NULL,
    version TEXT NOT NULL, model TEXT NOT NULL, parameters TEXT NOT NULL,
    reply TEXT NOT NULL, label TEXT, fault TEXT, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, usd REAL NOT NULL,
    seconds REAL NOT NULL, attempts INTEGER NOT NULL, server TEXT NOT NULL, request TEXT, batch TEXT, answered_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE texts (sha256 TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE claims (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, usd REAL NOT NULL, owner TEXT NOT NULL, until REAL NOT NULL, batch TEXT
) WITHOUT ROWID;
CREATE TABLE losses (key TEXT NOT NULL, model TEXT NOT NULL, usd REAL NOT NULL, lost_at REAL NOT NULL);
CREATE TABLE spending (model TEXT PRIMARY KEY, usd REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE sent (model TEXT NOT NULL, sent_at REAL NOT NULL, tokens INTEGER NOT NULL);
CREATE TABLE batches (
    token TEXT PRIMARY KEY, model TEXT NOT NULL, owner TEXT NOT NULL, name TEXT, ended INTEGER NOT NULL
) WITHOUT ROWID;
"""
# In version 0 what was no chat completion, a picture that was rejected and a first turn without a reply were kept as answers, for ever.
NO_ANSWER = "fault IN ('no chat completion', 'rejected') OR (fault IS NOT NULL AND second = '')"
UPGRADES = [
    f"""
CREATE TABLE factors (model TEXT PRIMARY KEY, factor REAL NOT NULL) WITHOUT ROWID;
INSERT INTO losses SELECT key, model, usd, answered_at FROM answers WHERE {NO_ANSWER};
DELETE FROM answers WHERE {NO_ANSWER};
""",
]  # from each version to the next; SCHEMA is version 0
TABLES = {"answers", "texts", "claims", "losses", "spending", "sent", "batches"}
CAUTION = 100.0  # the factor of a model that has sent no bill yet, for questions that do not go alone
FORGETTING = 0.99  # a factor goes back by 1 % an answer, for a bill that was wrong once

ANSWER = ", ".join(field.name for field in fields(Answer))


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions that were or will be submitted together.

    token: our name of it. name: the server's; None if it is not known to be submitted. foreign: another process may be submitting it.
    """

    token: str
    name: str | None
    foreign: bool


class OverBudget(Exception):
    """One more question could cost more than is allowed."""


class Ledger:
    """The ledger in one process; made if there is none. Every method is one transaction.

    Raises:
        SenseiError: the file is damaged, empty or something else, or the disk is full; what was recorded before stays whole.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with self._translated():
            if not self.path.exists():
                _create(self.path)
            if not self.path.stat().st_size:
                raise _lost(self.path, "no bytes")
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._check()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")  # after a power cut the last answers may be missing, not torn
        self._owner = f"{HOST} {os.getpid()} {psutil.Process().create_time()}"
        with self._transaction():
            self._upgrade()
            self._bury()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def find(self, question: Question) -> Answer | None:
        """The answer to a question that was asked before.

        Raises:
            SenseiError: it is damaged.
        """
        with self.reading() as execute:
            row = execute(f"SELECT {ANSWER} FROM answers WHERE key = ?", (question.key,)).fetchone()
        if row is None:
            return None
        if row[1] is not None and row[1] not in Label.__members__:
            raise _lost(self.path, f"the label {quoted(row[1])}")
        return Answer(row[0], None if row[1] is None else Label[row[1]], *row[2:])

    def claim(self, question: Question, usd: float, *, max_usd: float | None, at_once: int, seconds: float) -> bool:
        """Reserve a question for this process.

        Args:
            question: what shall be asked.
            usd: most that it should cost.
            max_usd: most that all questions to the model may cost, claims and losses included; None: no limit.
            at_once: most claims on the model at any time, over all processes.
            seconds: after which others need not respect the claim, should this process hang.

        Returns:
            Whether it is this process's now. If not, it was answered meanwhile, another process asks it, or too many are in flight: look
            again later.

        Raises:
            OverBudget: it could cost more than is left even if nothing was in flight.
        """
        with self._transaction() as execute:
            self._bury()
            in_flight = execute("SELECT COUNT(*) FROM claims WHERE model = ? AND batch IS NULL", (question.model,)).fetchone()[0]
            if self._taken(question) or in_flight >= at_once:
                return False
            if max_usd is not None:
                known = self._factor(question.model)
                if self._left(question.model, max_usd, known or CAUTION) < usd * (known or CAUTION) and in_flight:
                    return False
                if self._left(question.model, max_usd, known or 1.0) < usd * (known or 1.0):
                    raise OverBudget
            self._insert("claims", question.key, question.model, usd, self._owner, time.time() + seconds, None)
            return True

    def claim_batch(self, model: str, questions: list[Question], usd: list[float], *, max_usd: float | None, token: str) -> list[Question]:
        """Reserve questions for a batch that is about to be submitted under `token`: as many of the first as the budget allows.

        Questions that are answered or claimed already are left out. A batch's claims outlive its process: the server works on.

        Raises:
            OverBudget: the budget does not allow a single one, and nothing is in flight that could turn out cheaper.
        """
        taken = []
        with self._transaction() as execute:
            self._bury()
            in_flight = execute("SELECT COUNT(*) FROM claims WHERE model = ?", (model,)).fetchone()[0]
            factor = self._factor(model) or 1.0
            left = float("inf") if max_usd is None else self._left(model, max_usd, factor)
            for question, price in zip(questions, usd, strict=True):
                if self._taken(question):
                    continue
                if price * factor > left:
                    if not taken and not in_flight:
                        raise OverBudget
                    break
                left -= price * factor
                self._insert("claims", question.key, model, price, self._owner, float("inf"), token)
                taken.append(question)
            if taken:
                self._insert("batches", token, model, self._owner, None, False)
        return taken

    def claims_of_batch(self, token: str) -> set[str]:
        """Keys of the questions of a batch that have no answer yet."""
        with self.reading() as execute:
            return {key for (key,) in execute("SELECT key FROM claims WHERE batch = ?", (token,))}

    def claimed_by(self, question: Question) -> str | None:
        """Who asks a question that has no answer yet: the token of a batch, or "" for a process; None: nobody."""
        with self.reading() as execute:
            row = execute("SELECT coalesce(batch, '') FROM claims WHERE key = ?", (question.key,)).fetchone()
        return row and row[0]

    def batches(self, model: str) -> list[Batch]:
        """Batches of a model that have not ended."""
        with self.reading() as execute:
            rows = execute("SELECT token, name, owner FROM batches WHERE model = ? AND NOT ended", (model,)).fetchall()
        return [Batch(token, name, owner != self._owner and _works(owner)) for token, name, owner in rows]

    def name_batch(self, token: str, name: str) -> None:
        """Note the server's name of a batch."""
        with self._transaction() as execute:
            execute("UPDATE batches SET name = ? WHERE token = ?", (name, token))

    def end_batch(self, token: str, lost: bool = False) -> None:
        """Forget a batch from which nothing more will come; its questions without an answer may be asked again.

        Args:
            token: our name of it.
            lost: whether the server may have charged for them.
        """
        with self._transaction() as execute:
            execute("UPDATE batches SET ended = 1 WHERE token = ?", (token,))
            for (key,) in execute("SELECT key FROM claims WHERE batch = ?", (token,)).fetchall():
                self._end_claim(key, None if lost else 0.0)

    def give_up(self, key: str, usd: float | None = 0.0) -> None:
        """End a claim without an answer.

        Args:
            key: of the question.
            usd: what the server may have charged; None: as much as was claimed.
        """
        with self._transaction():
            self._end_claim(key, usd)

    def record(self, question: Question, answer: Answer, *, charged_once: bool = False) -> None:
        """Store an answer and end its claim; an answer that is there already stays.

        Args:
            question: what was asked.
            answer: to it.
            charged_once: whether the server charges a question once, however often it was asked: then its losses were none.
        """
        with self._transaction() as execute:
            for text, digest in zip(question.texts, question.columns[2:4], strict=True):
                execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (digest, text))
            values = (answer.reply, answer.label.name if answer.label is not None else None, *astuple(answer)[2:])
            fresh = self._insert("answers", question.key, *question.columns, *values, time.time(), or_ignore=True)
            if charged_once:
                lost = execute("SELECT TOTAL(usd) FROM losses WHERE key = ?", (question.key,)).fetchone()[0]
                execute("DELETE FROM losses WHERE key = ?", (question.key,))
                self._spend(question.model, -lost)
            claimed = execute("SELECT usd FROM claims WHERE key = ?", (question.key,)).fetchone()
            execute("DELETE FROM claims WHERE key = ?", (question.key,))
            if fresh:
                self._spend(question.model, answer.usd)
            if claimed:
                self._compare(question.model, answer.usd, claimed[0])

    def forget(self, fault: str) -> int:
        """Drop the answers that are none for the reason `fault`, so that they are asked again; what they cost stays spent.

        Returns:
            How many.

        Raises:
            SenseiError: there is none; the message has the faults there are.
        """
        with self._transaction() as execute:
            execute("INSERT INTO losses SELECT key, model, usd, answered_at FROM answers WHERE fault = ?", (fault,))
            if number := execute("DELETE FROM answers WHERE fault = ?", (fault,)).rowcount:
                return number
            faults = [name for (name,) in execute("SELECT DISTINCT fault FROM answers WHERE fault IS NOT NULL ORDER BY fault")]
        expected = f"one of {', '.join(faults)}" if faults else "nothing: every reply in it is an answer"
        raise SenseiError(f"the ledger {self.path} has no reply with the fault {fault!r}", expected=expected)

    def admit(self, model: str, tokens: int, per_minute: int | None, tokens_per_minute: int | None) -> float:
        """Ask to send a request of `tokens` tokens now; the limits hold for all processes together.

        Returns:
            0 if it may be sent, and is counted; else the seconds after which to ask again.
        """
        if per_minute is None and tokens_per_minute is None:
            return 0.0
        with self._transaction() as execute:
            now = time.time()
            execute("DELETE FROM sent WHERE sent_at <= ? OR sent_at > ?", (now - MINUTE, now + MINUTE))
            about = "SELECT COUNT(*), TOTAL(tokens), MIN(sent_at) FROM sent WHERE model = ?"
            requests, used, oldest = execute(about, (model,)).fetchone()
            full = per_minute is not None and requests >= per_minute
            if full or (tokens_per_minute is not None and requests and used + tokens > tokens_per_minute):
                return max(oldest + MINUTE - now, 0.01)
            self._insert("sent", model, now, tokens)
            return 0.0

    def spent(self, model: str) -> float:
        """US dollars that the answers of a model cost, possible losses included."""
        with self.reading():
            return self._spent(model)

    def lost(self, model: str) -> float:
        """What of it may have been charged for questions that have no answer of it."""
        with self.reading() as execute:
            return execute("SELECT TOTAL(usd) FROM losses WHERE model = ?", (model,)).fetchone()[0]

    def typical_seconds(self, model: str) -> float | None:
        """Mean time of a model's answers that did not come in batches; None if there are none."""
        with self.reading() as execute:
            return execute("SELECT AVG(seconds) FROM answers WHERE model = ? AND batch IS NULL", (model,)).fetchone()[0]

    def _check(self) -> None:
        """The file must be a ledger, and of a version that is known: an empty database would have everything bought again."""
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if absent := TABLES - tables:
            raise _lost(self.path, f"no table {min(absent)}")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if (found := self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":  # 0.2 s for 200,000 answers
            raise _lost(self.path, found)
        if version > len(UPGRADES):
            what = f"the ledger {self.path} is of version {version}"
            raise SenseiError(what, expected=f"at most {len(UPGRADES)}", hint="use the newer code that wrote it")

    def _upgrade(self) -> None:
        """Bring an older file up to date."""
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        for statements in UPGRADES[version:]:
            for statement in statements.split(";"):
                self._connection.execute(statement)
        if version < len(UPGRADES):
            self._connection.execute(f"PRAGMA user_version = {len(UPGRADES)}")

    def _bury(self) -> None:
        """Book the claims of dead processes as losses. Those of batches live on: the server works without us."""
        others = "SELECT DISTINCT owner FROM claims WHERE batch IS NULL AND owner != ?"
        dead = [owner for (owner,) in self._connection.execute(others, (self._owner,)).fetchall() if not _works(owner)]
        late = "SELECT key FROM claims WHERE batch IS NULL AND (owner = ? OR owner != ? AND until < ?)"
        for owner in [*dead, None]:
            for (key,) in self._connection.execute(late, (owner, self._owner, time.time())).fetchall():
                self._end_claim(key, None)

    def _end_claim(self, key: str, usd: float | None) -> None:
        """See `give_up`."""
        claim = self._connection.execute("SELECT model, usd FROM claims WHERE key = ?", (key,)).fetchone()
        if claim is None:
            return
        model, claimed = claim
        lost = claimed * (self._factor(model) or 1.0) if usd is None else usd
        self._connection.execute("DELETE FROM claims WHERE key = ?", (key,))
        if usd != 0:
            self._insert("losses", key, model, lost, time.time())
            self._spend(model, lost)
        if usd:
            self._compare(model, usd, claimed)

    def _compare(self, model: str, usd: float, claimed: float) -> None:
        """Learn from a bill how far it may exceed what was claimed; the first one says what was lost before it, too."""
        if claimed > 0:
            factor = max(1.0, usd / claimed)
            if self._factor(model) is None and factor > 1:
                lost = self._connection.execute("SELECT TOTAL(usd) FROM losses WHERE model = ?", (model,)).fetchone()[0]
                self._connection.execute("UPDATE losses SET usd = usd * ? WHERE model = ?", (factor, model))
                self._spend(model, lost * (factor - 1))
            update = f"INSERT INTO factors VALUES (?, ?) ON CONFLICT DO UPDATE SET factor = MAX(excluded.factor, {FORGETTING} * factor)"
            self._connection.execute(update, (model, factor))

    def _factor(self, model: str) -> float | None:
        """By how much its bills exceed what is claimed; None before there is a bill."""
        row = self._connection.execute("SELECT factor FROM factors WHERE model = ?", (model,)).fetchone()
        return row and row[0]

    def _left(self, model: str, max_usd: float, factor: float) -> float:
        """What of `max_usd` is neither spent nor claimed."""
        claimed = self._connection.execute("SELECT TOTAL(usd) FROM claims WHERE model = ?", (model,)).fetchone()[0]
        return max_usd - self._spent(model) - claimed * factor

    def _taken(self, question: Question) -> bool:
        """Whether a question has an answer, or is claimed."""
        known = "SELECT 1 FROM answers WHERE key = ?1 UNION ALL SELECT 1 FROM claims WHERE key = ?1"
        return self._connection.execute(known, (question.key,)).fetchone() is not None

    def _spent(self, model: str) -> float:
        return self._connection.execute("SELECT TOTAL(usd) FROM spending WHERE model = ?", (model,)).fetchone()[0]

    def _spend(self, model: str, usd: float) -> None:
        self._connection.execute("INSERT INTO spending VALUES (?, ?) ON CONFLICT DO UPDATE SET usd = usd + excluded.usd", (model, usd))

    def _insert(self, table: str, *values: object, or_ignore: bool = False) -> bool:
        """Whether a row was inserted."""
        places = ", ".join("?" * len(values))
        return self._connection.execute(f"INSERT {'OR IGNORE' * or_ignore} INTO {table} VALUES ({places})", values).rowcount > 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """The connection's `execute`, for questions that change nothing."""
        with self._translated():
            yield self._connection.execute

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """A transaction that waits for those of other processes; undone if the body fails."""
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's complaints about the disk and the file, as errors that say what to do."""
        try:
            yield
        except OSError as error:
            raise SenseiError(f"the ledger {self.path} cannot be used", found=error.strerror, hint="see to the folder") from error
        except sqlite3.DatabaseError as error:
            if "full" in str(error):
                raise SenseiError(
                    f"the disk of {self.path} is full", hint="make room and run again: the answers so far are kept, nothing is asked twice"
                ) from error
            hint = "`python -m sensei ledger verify` says more; move the file away only if you can do without its answers"
            raise SenseiError(f"the ledger {self.path} cannot be used", found=error, hint=hint) from error


def _create(path: Path) -> None:
    """An empty ledger at `path`, there whole or not at all, unless another process makes one first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise SenseiError(f"the ledger {path} is missing", found=f"its last answers in {log}", hint="put it back, or move both away")
    temporary = path.with_name(f".{uuid.uuid4().hex}.sqlite")
    try:
        with contextlib.closing(sqlite3.connect(temporary)) as connection:  # not as WAL: what fails as that is closed, nobody is told
            connection.executescript(f"PRAGMA journal_mode = MEMORY; BEGIN; {SCHEMA} COMMIT;")
        with contextlib.suppress(FileExistsError):
            try:
                os.link(temporary, path)
            except (PermissionError, NotImplementedError):  # a file system without links
                with open(path, "xb") as file:
                    file.write(temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)


def _lost(path: Path, found: str) -> SenseiError:
    what = f"the ledger {path} is not one, or is damaged"
    return SenseiError(what, found=found, hint="put a copy back; without that file a new ledger is made, and all is bought again")


def through_ledger(ledger: Ledger, questions: Sequence[Question], ask: Callable[[list[int]], list[Answer]]) -> list[Answer]:
    """Answers to `questions`, those the ledger has from there; for a model in this process, which costs time but no money.

    Args:
        ledger: where answers are looked up and recorded.
        questions: in any number; equal ones are asked once.
        ask: gets the places in `questions` of those without an answer, and returns their answers.
    """
    answers = {question.key: ledger.find(question) for question in questions}
    unknown = list({question.key: place for place, question in enumerate(questions) if answers[question.key] is None}.values())
    for place, answer in zip(unknown, ask(unknown) if unknown else [], strict=True):
        ledger.record(questions[place], answer)
        answers[questions[place].key] = answer
    return [answers[question.key] for question in questions]


def _works(owner: str) -> bool:
    """Whether the process that calls itself `owner` may still be at work; of another machine's nothing is known."""
    host, process, started = owner.rsplit(" ", 2)
    try:
        return host != HOST or psutil.Process(int(process)).create_time() == float(started)
    except psutil.NoSuchProcess:
        return False
