-- claim: queued -> executing, for a worker that has free slots
--
-- ARGV[2]  the worker's id
-- ARGV[3]  now, as ISO 8601
-- ARGV[4]  lease, ms
-- ARGV[5]  'ready', or 'alone' for jobs that only a worker without others may take
-- ARGV[6]… pairs: kind, free slots of that kind (0 just says that the worker is alive)
-- Returns  {now in µs, {jobs left ready of each kind, 0 where no slot was free},
--          jobs that wait to run alone, {job blob, token, attempt, start}…}
-- Tells    whoever waits for a claimed job: executing

local claimed, left, alone, newest = {}, {}, 0, 0

local function is_full(kind, account, limit)
  if limit == '0' or not is_limited(kind) then return false end
  return counted('running', account) >= tonumber(limit)
end

local function run(kind, key, tag, is)
  local account, queued = is[2], is[4]
  local version, token, attempt = is[5] + 1, is[6] + 1, is[7] + 1
  -- Two machines told these times: a job must not seem to start before it was queued.
  local started = ARGV[3] > queued and ARGV[3] or queued
  local line = '{"status":"executing","key":"' .. key .. '","events":{"queued":"' .. queued
    .. '","started":"' .. started .. '"}}'
  redis.call('HSET', base .. 'job:' .. key, 'version', version, 'token', token,
    'attempt', attempt, 'state', 'executing', 'line', line, 'tag', tag, 'started', started)
  put('leases', now + ARGV[4], key)
  if is_limited(kind) then count('running', account, 1) end
  count('queued', account, -1)
  tell(key, version, 'executing', line)
  return {is[1], token, attempt, started}
end

local function claim_one(kind, key, tag)
  local is = redis.call('HMGET', base .. 'job:' .. key, 'job', 'account', 'limit', 'queued',
    'version', 'token', 'attempt')
  if is_full(kind, is[2], is[3]) then
    redis.call('ZADD', base .. 'parked:' .. kind .. ':' .. is[2], tag, key)
    count('parked', is[2], 1)
    return
  end
  claimed[#claimed + 1] = run(kind, key, tag, is)
  newest = math.max(newest, tonumber(tag))
end

-- Whether jobs may be left: parking passes over those of accounts that are full, bounded, so that
-- no call takes long.
local function claim_some(kind, free)
  local wanted, tries = #claimed + free, 1000
  while #claimed < wanted and tries > 0 do
    local asked = math.min(wanted - #claimed, tries)
    local popped = redis.call('ZPOPMIN', base .. ARGV[5] .. ':' .. kind, asked)
    for index = 1, #popped, 2 do claim_one(kind, popped[index], popped[index + 1]) end
    if #popped < 2 * asked then return false end
    tries = tries - asked
  end
  return true
end

-- Old places come up again after a retry or a pause: virtual time must not go back with them, or
-- newcomers would get tags before those of everybody who waits.
local function move_time(kind)
  local fair = base .. 'fair:' .. kind
  if newest > (tonumber(redis.call('HGET', fair, '')) or 0) then
    redis.call('HSET', fair, '', newest)
  end
end

local askers = {}
for index = 6, #ARGV, 2 do
  local kind, free = ARGV[index], tonumber(ARGV[index + 1])
  newest = -1
  local is_more = free > 0 and claim_some(kind, free)
  left[#left + 1] = is_more and redis.call('ZCARD', base .. 'ready:' .. kind) or 0
  if newest >= 0 then move_time(kind) end
  put('consumers', now, kind .. ' ' .. ARGV[2])
  askers[#askers + 1] = base .. 'alone:' .. kind
end
if redis.call('EXISTS', unpack(askers)) > 0 then
  for _, name in ipairs(askers) do alone = alone + redis.call('ZCARD', name) end
end
deliver()
return {now_us, left, alone, unpack(claimed)}
