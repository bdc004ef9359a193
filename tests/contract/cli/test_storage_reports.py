"""`reelgate storage sweep|uploads|costs` (E10, E11, E14)."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.storage.v1 import storage_pb2
from services.kernel.errors import FailedPrecondition
from tests.contract.cli.conftest import Reelgate
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import CREATED, OBJECT


@pytest.mark.parametrize(("flags", "would"), [((), ""), (("--dry-run",), "would be ")])
def test_e10_a_sweep_ends_with_its_counts(
    reelgate: Reelgate, backend: Backend, flags: tuple[str, ...], would: str
) -> None:
    backend.answers["Sweep"] = [
        storage_pb2.SweepResponse(scanned_count=1000, total_count=2500),
        storage_pb2.SweepResponse(
            scanned_count=2500,
            marked_count=3,
            deleted_count=2,
            adopted_count=1,
            aborted_count=4,
            total_count=2500,
        ),
    ]
    ran = reelgate("sweep", *flags)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"2,500 keys and rows looked at: 3 {would}marked, 2 {would}deleted, 1 {would}adopted, "
        f"4 unfinished {would}removed, 0 missing.\n"
    )
    assert backend.asked("Sweep")[0].dry_run == bool(flags)


def test_e10_works_whose_bytes_are_missing_are_named(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["Sweep"] = [storage_pb2.SweepResponse(scanned_count=5, missing_count=2)]
    ran = reelgate("sweep")

    assert "! The bytes of 2 works are not there." in ran.out


def test_e10_a_sweep_that_was_stopped_says_why(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["Sweep"] = FailedPrecondition("It is another's bucket.", reason="SWEEP_STOPPED")
    ran = reelgate("sweep")

    assert (ran.code, ran.out, ran.err) == (1, "", "reelgate: It is another's bucket.\n")


def test_e11_the_log_is_a_table(reelgate: Reelgate, backend: Backend) -> None:
    kept = storage_pb2.UploadRecord(
        object_id=OBJECT,
        source="studio.example",
        tier=storage_pb2.TIER_S3,
        size_bytes=1_234_567,
        duration=Duration(seconds=65),
        create_time=CREATED,
    )
    failed = storage_pb2.UploadRecord(
        object_id=OBJECT,
        source="upload",
        size_bytes=12,
        duration=Duration(nanos=8_000_000),
        failure_reason="SOURCE_FAILED",
        create_time=CREATED,
    )
    backend.answers["ListUploads"] = storage_pb2.ListUploadsResponse(uploads=[kept, failed])
    ran = reelgate("uploads")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "when (UTC)           source          tier    size        took  result         object",
        f"2025-10-09 08:53:20  studio.example  s3    1.2 MB  1 min 05 s  kept           {OBJECT}",
        f"2025-10-09 08:53:20  upload          -       12 B        8 ms  source_failed  {OBJECT}",
    ]


def test_e11_more_than_a_page_is_asked_for_page_by_page(
    reelgate: Reelgate, backend: Backend
) -> None:
    def page(request: storage_pb2.ListUploadsRequest) -> storage_pb2.ListUploadsResponse:
        records = [storage_pb2.UploadRecord(object_id=OBJECT)] * request.page_size
        return storage_pb2.ListUploadsResponse(uploads=records, next_page_token="more")

    backend.answers["ListUploads"] = page
    ran = reelgate("uploads", "--last", "150")

    assert len(ran.out.splitlines()) == 151
    request = storage_pb2.ListUploadsRequest
    assert backend.asked("ListUploads") == [
        request(page_size=100),
        request(page_size=50, page_token="more"),
    ]


def test_e11_an_empty_log_says_so(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["ListUploads"] = storage_pb2.ListUploadsResponse()

    assert reelgate("uploads").out == "Nothing was uploaded yet.\n"


@pytest.mark.parametrize(
    "flags", [("uploads", "--last", "0"), ("uploads", "--last", "many"), ("costs", "--since", "x")]
)
def test_a_flag_that_is_not_understood_is_named(
    reelgate: Reelgate, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        reelgate(*flags)
    assert ended.value.code == 2
    assert f"argument {flags[1]}: must be a" in capsys.readouterr().err


def test_e14_the_costs_are_a_table(reelgate: Reelgate, backend: Backend) -> None:
    backend.answers["GetCosts"] = storage_pb2.GetCostsResponse(
        stored_bytes=10**12,
        write_operations=1_234,
        read_operations=56,
        egress_bytes=7 * 10**9,
        r2_monthly_usd=15.0,
        s3_monthly_usd=0.001,
    )
    ran = reelgate("costs", "--since", "2026-01-01", "--until", "2026-01-31T12:00:00+02:00")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "costs                        2026-01-01 to 2026-01-31",
        "stored now                                     1.0 TB",
        "writes and lists (class A)                      1,234",
        "reads (class B)                                    56",
        "sent out                                       7.0 GB",
        "a month at R2's list prices                    $15.00",
        "a month at S3's list prices                   < $0.01",
    ]
    (asked,) = backend.asked("GetCosts")
    assert asked.start_time == Timestamp(seconds=1_767_225_600)
    assert asked.end_time.ToJsonString() == "2026-01-31T10:00:00Z"
