-- What wrk measured, on one line; and, where the environment names a file of bearer tokens, each request with the next of them.
local file = os.getenv("DOORWARD_BENCH_TOKENS")
if file then
    local requests, count, at = {}, 0, 0
    init = function()
        for token in io.lines(file) do
            count = count + 1
            requests[count] = wrk.format("GET", nil, { Authorization = "Bearer " .. token })
        end
    end
    request = function()
        at = at % count + 1
        return requests[at]
    end
end
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format("doorward-bench %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
