"""Rounds without a timer: who shares one, whose turn it is, who is dropped, who is refused, and the end."""

import asyncio
import threading

import numpy as np
import pytest
from server_fixture import FakeEngine

from tutelage.serve import batching, counting
from tutelage.serve.batching import Batcher
from tutelage.serve.errors import Refused


def run(scenario, engine=None, queue_tokens=100_000):
    """The scenario with a started batcher, closed at its end."""

    async def whole():
        batcher = Batcher(engine or FakeEngine(), queue_tokens)
        batcher.start()
        try:
            return await asyncio.wait_for(scenario(batcher), 20)
        finally:
            batcher.engine.gate.set()
            await batcher.close()

    return asyncio.run(whole())


async def held(batcher, *asked):
    """Requests that wait behind a round that is held up; their tasks, in order."""
    batcher.engine.gate.clear()
    first = asyncio.create_task(batcher.encode(["first"]))
    while len(batcher.engine.calls) < 1:
        await asyncio.sleep(0.001)
    tasks = []
    for texts in asked:
        tasks.append(asyncio.create_task(batcher.encode(texts)))
        while len(batcher._waiting) < len(tasks):
            await asyncio.sleep(0.001)
    return [first, *tasks]


def test_vectors_come_in_order_whatever_shares_the_round():
    texts = [f"text {i % 7}" for i in range(100)]

    async def scenario(batcher):
        tasks = await held(batcher, texts, texts[50:], ["text 3"])
        batcher.engine.gate.set()
        return [found.vectors for found in await asyncio.gather(*tasks)]

    _, all_of_them, half, one = run(scenario)
    wanted = FakeEngine().encode(texts)
    np.testing.assert_array_equal(all_of_them, wanted)
    np.testing.assert_array_equal(half, wanted[50:])
    np.testing.assert_array_equal(one, wanted[3:4])


def test_what_waits_meets_in_one_round_and_equal_texts_in_one_pass():
    async def scenario(batcher):
        tasks = await held(batcher, ["a", "b"], ["b", "c"], ["a"])
        batcher.engine.gate.set()
        await asyncio.gather(*tasks)
        return batcher.engine.calls

    assert run(scenario) == [["first"], ["a", "b", "c"]]


def test_a_lone_request_does_not_wait():
    async def scenario(batcher):
        for text in "abc":
            await batcher.encode([text])
        return batcher.engine.calls

    assert run(scenario) == [["a"], ["b"], ["c"]]


def test_prompts_do_not_mix():
    async def scenario(batcher):
        tasks = [batcher.encode(["a"], prompt=prompt) for prompt in (None, "query: ", "")]
        return [found.vectors[0].tolist() for found in await asyncio.gather(*tasks)]

    plain, asked, empty = run(scenario)
    assert plain == empty != asked
    assert asked == FakeEngine().encode(["query: a"])[0].tolist()


def test_a_long_list_lets_others_have_their_turn():
    long = [f"long {i}" for i in range(2000)]

    async def scenario(batcher):
        _, many, single = await held(batcher, long, ["single"])
        batcher.engine.gate.set()
        await single
        assert not many.done()
        assert (await many).vectors.shape == (2000, 8)
        return batcher.engine.calls

    calls = run(scenario)
    assert calls[1].index("single") == batching.CHUNK
    assert len(calls) > 2


def test_a_round_takes_its_room_and_no_more():
    texts = [f"text number {i}" for i in range(1000)]  # of five tokens

    async def scenario(batcher):
        await batcher.encode(texts)
        return batcher.engine.calls

    calls = run(scenario)
    assert [text for call in calls for text in call] == texts
    assert len(calls[0]) == batching.LEAST_ROUND // 5


def test_a_request_cut_by_a_rounds_room_is_first_in_the_next():
    asked = [[f"text number {20 * request + i}" for i in range(20)] for request in range(12)]  # 100 tokens each

    async def scenario(batcher):
        tasks = await held(batcher, *asked)
        batcher.engine.gate.set()
        await asyncio.gather(*tasks)
        return batcher.engine.calls

    calls = run(scenario)
    assert len(calls) > 2, "no request was cut"
    assert [text for call in calls[1:] for text in call] == [text for texts in asked for text in texts]


def test_rooms_follow_the_measured_speed():
    batcher = Batcher(FakeEngine(), 1)
    assert batcher.room == batching.LEAST_ROUND
    batcher._measure(200_000, 10.0)
    assert (batcher.tokens_per_second, batcher.room) == (20_000, 2_000)
    batcher._measure(10**9, 0.1)
    assert batcher.room == batching.MOST_ROUND


def test_a_text_larger_than_the_room_is_taken_all_the_same():
    engine = FakeEngine()
    engine.max_length = 10_000

    async def scenario(batcher):
        await batcher.encode(["word " * 5000, "short"])
        return [len(call) for call in batcher.engine.calls]

    assert run(scenario, engine) == [1, 1]


def test_a_cancelled_request_is_dropped_before_it_runs():
    async def scenario(batcher):
        _, gone, stays = await held(batcher, ["gone", "gone too"], ["stays"])
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert gone.cancelled()
        assert batcher.queued == 3
        batcher.engine.gate.set()
        await stays
        return batcher.engine.calls

    assert run(scenario) == [["first"], ["stays"]]


def test_a_request_cancelled_in_its_round_holds_up_nobody():
    async def scenario(batcher):
        running, waits = await held(batcher, ["waits"])
        running.cancel()
        batcher.engine.gate.set()
        return (await waits).vectors.shape

    assert run(scenario) == (1, 8)


def test_more_than_may_wait_is_refused_with_the_time_to_come_back():
    async def scenario(batcher):
        batcher._tokens, batcher._seconds = 10.0, 10.0  # one token a second
        _, waits = await held(batcher, ["a b c d e f"])  # of eight tokens
        with pytest.raises(Refused) as refused:
            await batcher.encode(["one two"])
        batcher.engine.gate.set()
        await waits
        return refused.value

    refused = run(scenario, queue_tokens=10)
    assert refused.status == 429
    assert refused.headers == {"retry-after": "8"}


def test_more_characters_than_may_wait_are_not_counted():
    engine, gate = FakeEngine(), threading.Event()
    engine.tokens = lambda texts, prompt=None: gate.wait(20) and FakeEngine.tokens(engine, texts, prompt=prompt)
    long, longer = ["x" * (counting.INLINE + 1)], ["x" * (counting.CHARACTERS * 1000)]

    async def scenario(batcher):
        first = asyncio.create_task(batcher.encode(longer))  # nothing is being counted: it is taken
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batcher.encode(long)
        gate.set()
        await first
        await batcher.encode(long)
        return refused.value, batcher._counting.characters

    refused, left = run(scenario, engine, queue_tokens=1000)
    assert (refused.status, refused.headers, left) == (429, {"retry-after": "1"}, 0)


def test_a_request_beyond_the_bound_is_taken_where_nothing_waits():
    async def scenario(batcher):
        return (await batcher.encode([f"text {i}" for i in range(100)])).vectors.shape

    assert run(scenario, queue_tokens=10) == (100, 8)


def test_nothing_is_left_in_the_books():
    async def scenario(batcher):
        tasks = await held(batcher, *([f"text {i}"] * 40 for i in range(5)), ["boom"])
        tasks[2].cancel()
        batcher.engine.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return batcher.queued, len(batcher._waiting)

    assert run(scenario) == (0, 0)


def test_a_text_that_breaks_the_engine_breaks_its_own_request_alone():
    async def scenario(batcher):
        tasks = await held(batcher, ["good"], ["boom"] * 40 + ["never"] * 200, ["fine"])
        batcher.engine.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, good, broken, fine = run(scenario)
    assert isinstance(broken, RuntimeError)
    assert [found.vectors.shape for found in (first, good, fine)] == [(1, 8)] * 3


def test_the_end_finishes_what_was_accepted_and_takes_nothing_more():
    async def scenario(batcher):
        tasks = await held(batcher, [f"text {i}" for i in range(500)])
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await batcher.encode(["late"])
        assert refused.value.status == 503
        batcher.engine.gate.set()
        await closing
        return [task.result().vectors.shape for task in tasks]

    assert run(scenario) == [(1, 8), (500, 8)]


def test_a_request_caught_by_the_end_while_its_texts_are_counted_is_refused():
    long = ["x" * (counting.INLINE + 1)]

    async def scenario(batcher):
        caught = asyncio.create_task(batcher.encode(long))
        await asyncio.sleep(0)
        await batcher.close()
        with pytest.raises(Refused) as refused:
            await caught
        return refused.value.status

    assert run(scenario) == 503


def test_cut_texts_are_counted_or_refused():
    texts = ["word " * 30, "short"]

    async def scenario(batcher):
        found = await batcher.encode(texts)
        with pytest.raises(Refused) as refused:
            await batcher.encode(texts, truncate=False)
        return found.tokens, found.truncated, refused.value

    tokens, truncated, refused = run(scenario)
    assert (tokens, truncated, refused.status) == ([16, 3], 1, 413)
    assert str(refused) == "Text 0 has 32 tokens, the model takes 16. Shorten it or let truncate be true."
