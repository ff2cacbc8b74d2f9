-- Posts histories in turn, counts statuses, and prints one line of JSON. HISTORIES: a file, one a line.
local bodies, threads = {}, {}
for line in io.lines(os.getenv("HISTORIES")) do bodies[#bodies + 1] = line end
local number = 0
codes = ""
local counts = {}

function setup(thread) threads[#threads + 1] = thread end

function request()
  number = number + 1
  return wrk.format("POST", "/v1/recommend", { ["Content-Type"] = "application/json" },
    bodies[number % #bodies + 1])
end

function response(status)
  counts[status] = (counts[status] or 0) + 1
  codes = ""
  for code, count in pairs(counts) do codes = codes .. code .. ":" .. count .. "," end
end

function done(summary, latency)
  local e, all = summary.errors, {}
  for _, thread in ipairs(threads) do
    for code, count in thread:get("codes"):gmatch("(%d+):(%d+)") do
      all[code] = (all[code] or 0) + count
    end
  end
  local parts = {}
  for code, count in pairs(all) do parts[#parts + 1] = string.format('"%s": %d', code, count) end
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "socket_errors": %d, "statuses": {%s}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.timeout, table.concat(parts, ", ")))
end
