"""The agenda gives what is due in the order of its moments, whatever was put on it when."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from netpulse.engine.agenda import GRAIN, Agenda, Item
from netpulse.engine.due import Entry

ENTRY = Entry("01890000-0000-7000-8000-000000000000", 10_000, 0)
# Many in one grain, some at its very edges, some far away.
moments = st.one_of(
    st.floats(1_000.0, 1_000.2),
    st.integers(50_000, 50_010).map(lambda number: number * GRAIN),
    st.floats(0.0, 1e6),
)
steps = st.lists(
    st.one_of(moments.map(lambda at: ("put", at)), st.tuples(st.just("take"), moments))
)


@given(steps)
def test_it_is_a_heap_of_moments(steps: list[tuple[str, float]]) -> None:
    agenda, heap = Agenda(), list[Item]()
    for serial, (step, at) in enumerate(steps):
        if step == "put":
            item: Item = (at, serial, ENTRY, None if serial % 3 else serial)
            agenda.put(item)
            heapq.heappush(heap, item)
        else:
            due = heapq.heappop(heap) if heap and heap[0][0] <= at else None
            assert agenda.take(at) is due
        assert agenda.first_at == (heap[0][0] if heap else None)
    while heap:
        assert agenda.take(1e6) is heapq.heappop(heap)
    assert agenda.take(1e6) is None
