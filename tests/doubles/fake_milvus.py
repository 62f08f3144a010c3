"""A Milvus server that misbehaves on purpose: slow, old, locked, or with somebody else's collection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2


class FakeMilvus(milvus_pb2_grpc.MilvusServiceServicer):
    """Says `version`; takes `delay` seconds to say which collections there are; may refuse strangers without `token`.

    Its only collection is `people`, with `fields` as (name, type, dimension) and `description`.
    """

    def __init__(self) -> None:
        self.version = "v2.5.4"
        self.delay = 0.0
        self.wants_token = False
        self.description = ""
        self.fields: list[tuple[str, int, int]] = []
        self.seen_tokens: list[str] = []

    def Connect(self, request, context):
        self._check_token(context)
        return milvus_pb2.ConnectResponse(status=common_pb2.Status(), identifier=1)

    def GetVersion(self, request, context):
        self._check_token(context)
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(), version=self.version)

    def HasCollection(self, request, context):
        time.sleep(self.delay)
        return milvus_pb2.BoolResponse(status=common_pb2.Status(), value=request.collection_name == "people")

    def DescribeCollection(self, request, context):
        time.sleep(self.delay)
        if request.collection_name != "people":
            return milvus_pb2.DescribeCollectionResponse(
                status=common_pb2.Status(error_code=1, code=100, reason="can't find collection")
            )
        fields = [
            schema_pb2.FieldSchema(
                name=name,
                data_type=kind,
                is_primary_key=name == "id",
                type_params=[common_pb2.KeyValuePair(key="dim", value=str(dimension))] if dimension else [],
            )
            for name, kind, dimension in self.fields
        ]
        schema = schema_pb2.CollectionSchema(name="people", description=self.description, fields=fields)
        return milvus_pb2.DescribeCollectionResponse(status=common_pb2.Status(), schema=schema)

    def _check_token(self, context) -> None:
        token = dict(context.invocation_metadata()).get("authorization", "")
        self.seen_tokens.append(token)
        if self.wants_token and not token:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key is correct")


@contextmanager
def serving(servicer: FakeMilvus) -> Iterator[str]:
    """Serve on a free port of this machine; yields the address."""
    server = grpc.server(ThreadPoolExecutor(4))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
