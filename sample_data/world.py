"""The bank's raw tables: real accounts, and the postings and bureau updates of the month.

Accounts, statements and repayment status are the 30,000 clients of the UCI data set as they are;
sex, education and marriage are not loaded. What happens to them during the month (purchases,
payments, a few fresh arrears) is drawn from the seed, so that features move as they would.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .plan import CLIENTS, DAY, DAYS, START

SOURCE = Path(__file__).with_name("data") / "uci_default_of_credit_card_clients.csv.gz"
#: Postings begin with the last statement, 17 days before the window.
POSTINGS_FROM = START - 17 * DAY

_LOAD = """
CREATE SCHEMA raw;
CREATE SCHEMA features;
CREATE TABLE source AS SELECT * FROM read_csv(?, header = true) ORDER BY ID;
CREATE TABLE raw.accounts AS
    SELECT (ID - 1)::INTEGER AS client, AGE::INTEGER AS age, LIMIT_BAL::BIGINT AS limit_balance
    FROM source;
CREATE TABLE raw.statements AS
    SELECT (ID - 1)::INTEGER AS client,
        BILL_AMT1::BIGINT AS bill_1, BILL_AMT2::BIGINT AS bill_2, BILL_AMT3::BIGINT AS bill_3,
        BILL_AMT4::BIGINT AS bill_4, BILL_AMT5::BIGINT AS bill_5, BILL_AMT6::BIGINT AS bill_6,
        PAY_AMT1::BIGINT AS paid_1, PAY_AMT2::BIGINT AS paid_2, PAY_AMT3::BIGINT AS paid_3,
        PAY_AMT4::BIGINT AS paid_4, PAY_AMT5::BIGINT AS paid_5, PAY_AMT6::BIGINT AS paid_6
    FROM source;
CREATE TABLE raw.repayment_status AS
    SELECT (ID - 1)::INTEGER AS client,
        PAY_0::INTEGER AS status_1, PAY_2::INTEGER AS status_2, PAY_3::INTEGER AS status_3,
        PAY_4::INTEGER AS status_4, PAY_5::INTEGER AS status_5, PAY_6::INTEGER AS status_6
    FROM source;
CREATE TABLE raw.defaults AS
    SELECT (ID - 1)::INTEGER AS client, "default-payment-next-month"::BOOLEAN AS defaulted
    FROM source;
DROP TABLE source;
"""


def open_world(seed: int) -> duckdb.DuckDBPyConnection:
    """An in-memory database with the schemas ``raw`` (filled) and ``features`` (empty)."""
    con = duckdb.connect(":memory:", config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    con.execute(_LOAD.replace("?", "'" + str(SOURCE).replace("'", "''") + "'"))
    rng = np.random.default_rng([seed, 1])
    _post(con, rng)
    _update_status(con, rng)
    return con


def defaulted(con: duckdb.DuckDBPyConnection) -> NDArray[np.bool_]:
    """What really became of each client, by client number."""
    table = con.execute("SELECT defaulted FROM raw.defaults ORDER BY client").fetchnumpy()
    return np.asarray(table["defaulted"], dtype=bool)


def utc(moment: int) -> datetime:
    """The time as DuckDB takes it for a TIMESTAMP parameter."""
    return datetime.fromtimestamp(moment // 1_000_000, UTC).replace(tzinfo=None)


def _post(con: duckdb.DuckDBPyConnection, rng: np.random.Generator) -> None:
    """Purchases (positive) and payments (negative) of clients who use their card."""
    base = con.execute(
        "SELECT a.limit_balance, s.bill_1 FROM raw.accounts AS a JOIN raw.statements AS s "
        "USING (client) ORDER BY client"
    ).fetchnumpy()
    limit = np.asarray(base["limit_balance"], dtype=float)
    balance = np.asarray(base["bill_1"], dtype=float)
    uses = balance > 0
    span = START + DAYS * DAY - POSTINGS_FROM
    client = np.repeat(np.arange(CLIENTS), rng.poisson(np.where(uses, 5.0, 0.2)))
    payment = rng.random(client.size) < 0.3
    share = rng.lognormal(-5.0, 0.8, client.size)
    amount = np.where(
        payment,
        -np.minimum(2.5 * share * limit[client], np.maximum(balance[client], 0) / 3),
        share * limit[client],
    )
    posted = POSTINGS_FROM + (rng.random(client.size) * span).astype(np.int64)
    order = np.argsort(posted, kind="stable")
    postings = pa.table(
        {
            "client": pa.array(client[order].astype(np.int32)),
            "posted_at": pa.array(posted[order], pa.timestamp("us")),
            "amount": pa.array(np.rint(amount[order]).astype(np.int64)),
        }
    )
    con.register("incoming", postings)
    con.execute("CREATE TABLE raw.postings AS SELECT * FROM incoming WHERE amount <> 0")
    con.unregister("incoming")


def _update_status(con: duckdb.DuckDBPyConnection, rng: np.random.Generator) -> None:
    """One client in thirty is reported anew during the month: paid up, or a month late."""
    client = rng.choice(CLIENTS, CLIENTS // 30, replace=False)
    reported = START + (rng.random(client.size) * DAYS * DAY).astype(np.int64)
    updates = pa.table(
        {
            "client": pa.array(client.astype(np.int32)),
            "reported_at": pa.array(reported, pa.timestamp("us")),
            "status": pa.array(rng.choice([-1, 0, 1, 2], client.size, p=[0.4, 0.4, 0.1, 0.1])),
        }
    )
    con.register("incoming", updates)
    con.execute("CREATE TABLE raw.status_updates AS SELECT * FROM incoming ORDER BY reported_at")
    con.unregister("incoming")
