-- reap: delayed -> queued, when the pause is over;
--       executing -> executing, silent, when the lease ran out
--       executing -> queued, when that of a silent one did; -> error, when that was the last attempt
--
-- ARGV[2]  now, as ISO 8601
-- ARGV[3]  how many of each at most
-- ARGV[4]  the lease that is left to a silent one, ms
-- Returns  {promoted keys, silent keys, requeued keys, failed keys}
-- Tells    whoever waits for a job whose lease ran out; workers

local MAX_UNPARKED = 100
local promoted, silent, requeued, failed = {}, {}, {}, {}

local function due(set)
  return redis.call('ZRANGEBYSCORE', base .. set, '-inf', now, 'LIMIT', 0, ARGV[3])
end

-- While versions of these scripts changed, it may have come to count what runs no more: then jobs
-- would stay parked, some of them for ever.
local function recount_running()
  if redis.call('DEL', base .. 'running') == 0 then return end
  for _, party in ipairs(redis.call('HKEYS', base .. 'parked')) do
    -- So many run at once from now on, for each that ends brings back one. Those that are too many
    -- `claim` parks again.
    for _ = 1, math.min(counted('parked', party), MAX_UNPARKED) do unpark(party) end
  end
end

if redis.call('EXISTS', base .. 'leases') == 0 then recount_running() end

for _, key in ipairs(due('delayed')) do
  local is = redis.call('HMGET', base .. 'job:' .. key, 'kind', 'tag')
  redis.call('ZREM', base .. 'delayed', key)
  enqueue(key, is[1], is[1] == 'hook' and take_turn(key) or is[2])
  promoted[#promoted + 1] = key
end

for _, key in ipairs(due('leases')) do
  local is = redis.call('HMGET', base .. 'job:' .. key,
    'attempt', 'attempts', 'queued', 'started', 'token', 'silent', 'kind')
  local events = '"key":"' .. key .. '","events":{"queued":"' .. is[3] .. '"'
  local is_lost = is[6] == is[5]
  if is_lost and is[7] == 'hook' then
    note_try(key, '{"at":"' .. is[4] .. '","error":"the worker was lost"}')
  end
  if not is_lost then
    -- Valkey may have been out of reach until now: whoever holds the job gets time to say so.
    redis.call('HSET', base .. 'job:' .. key, 'silent', is[5])
    put('leases', now + ARGV[4], key)
    silent[#silent + 1] = key
  elseif tonumber(is[1]) >= tonumber(is[2]) then
    complete(key, read(key), 'error', '{"status":"error",' .. events .. ',"started":"' .. is[4]
      .. '","completed":"' .. ARGV[2] .. '"},"error":"the worker was lost while it ran the task, '
      .. is[1] .. ' times"}', '[]')
    failed[#failed + 1] = key
  else
    local kind, tag = hand_back(key, '{"status":"queued",' .. events .. '}}')
    -- One that loses its worker again and again may be what kills it: its last attempt must not
    -- cost those that run beside it theirs. Jobs that mostly wait are not to blame.
    local is_last = tonumber(is[2]) > 1 and tonumber(is[1]) + 1 == tonumber(is[2])
    if is_last and (kind == 'fast' or kind == 'heavy') then
      redis.call('HSET', base .. 'job:' .. key, 'place', 'alone')
    end
    enqueue(key, kind, tag)
    requeued[#requeued + 1] = key
  end
end
redis.call('ZREMRANGEBYSCORE', base .. 'consumers', '-inf', now - 3600000)
deliver()
return {promoted, silent, requeued, failed}
