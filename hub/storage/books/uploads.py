"""Files that come in pieces: how much of each is durable, and where its sealed pieces are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from hub.records import Upload
from hub.storage.books.desk import Desk
from hub.storage.books.jobs import UPLOAD, fulfil, promise
from hub.storage.books.schema import progress, segments, uploads


class Uploads(Desk):
    """Uploads under way. No event until a file is whole: before that nothing was acknowledged."""

    def begin_upload(self, upload: Upload) -> None:
        """Open an upload of which nothing has come. One of no bytes is whole at once."""
        with self._change() as connection:
            connection.execute(
                insert(uploads).values(
                    id=upload.id,
                    partner=upload.partner,
                    dataset=upload.dataset,
                    client=upload.client,
                    idempotency_key=upload.idempotency_key,
                    declared=upload.declared,
                    length=upload.length,
                    offset=0,
                    created_at=upload.created_at,
                )
            )
            if upload.length == 0:
                promise(connection, UPLOAD, upload.id)

    def upload(self, upload_id: str) -> Upload | None:
        """One upload."""
        with self._read() as connection:
            row = connection.execute(select(uploads).where(uploads.c.id == upload_id)).first()
        return None if row is None else _upload(row)

    def uploads(self, before: datetime | None = None) -> list[Upload]:
        """Uploads, oldest first; those begun before a time only."""
        query = select(uploads).order_by(uploads.c.created_at, uploads.c.id)
        if before is not None:
            query = query.where(uploads.c.created_at < before)
        with self._read() as connection:
            return [_upload(row) for row in connection.execute(query)]

    def add_segment(self, upload_id: str, start: int, size: int, name: str) -> bool:
        """Count a sealed piece in, if the upload is exactly at `start`; False where it is not.

        Of two writers at one place one is counted. The last piece promises the upload's job.
        """
        with self._change() as connection:
            moved = connection.execute(
                update(uploads)
                .where(
                    uploads.c.id == upload_id,
                    uploads.c.offset == start,
                    uploads.c.length >= start + size,
                    uploads.c.problem.is_(None),
                )
                .values(offset=start + size)
                .returning(uploads.c.length)
            ).first()
            if moved is None:
                return False
            connection.execute(insert(segments).values(upload=upload_id, start=start, name=name))
            if moved.length == start + size:
                promise(connection, UPLOAD, upload_id)
        return True

    def segments(self, upload_id: str | None = None) -> list[str]:
        """Names of the sealed pieces, in order; of every upload without `upload_id`."""
        query = select(segments.c.name).order_by(segments.c.upload, segments.c.start)
        if upload_id is not None:
            query = query.where(segments.c.upload == upload_id)
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def end_upload(
        self, upload_id: str, *, push: str | None = None, problem: Mapping[str, Any] | None = None
    ) -> None:
        """Say what a whole upload became, and strike its job and its pieces off."""
        with self._change() as connection:
            connection.execute(
                update(uploads)
                .where(uploads.c.id == upload_id)
                .values(push=push, problem=None if problem is None else dict(problem))
            )
            connection.execute(delete(segments).where(segments.c.upload == upload_id))
            fulfil(connection, UPLOAD, upload_id)

    def drop_upload(self, upload_id: str, *, unless_whole: bool) -> bool:
        """Forget an upload and its pieces; False where there is none, or it is whole already."""
        with self._change() as connection:
            wanted = [uploads.c.id == upload_id]
            if unless_whole:
                wanted.append(uploads.c.offset < uploads.c.length)
            if connection.execute(select(uploads.c.id).where(*wanted)).first() is None:
                return False
            connection.execute(delete(segments).where(segments.c.upload == upload_id))
            connection.execute(delete(progress).where(progress.c.push == upload_id))
            connection.execute(delete(uploads).where(*wanted))
            fulfil(connection, UPLOAD, upload_id)
        return True


def _upload(row: Row[Any]) -> Upload:
    return Upload(
        id=row.id,
        partner=row.partner,
        dataset=row.dataset,
        client=row.client,
        length=row.length,
        offset=row.offset,
        created_at=row.created_at,
        idempotency_key=row.idempotency_key,
        declared=row.declared,
        push=row.push,
        problem=row.problem,
    )
