-- What every transition shares; the loader puts this text before each script.
--
-- All keys of a shard start with KEYS[1], which carries the hash tag, so they lie in one slot and
-- the others may be derived from it.
--
--   job:<key>              hash   the record of one job: what never changes (job, account, kind,
--                                 task, queued, limit, attempts, retention, reuse, reuse_ms), where
--                                 it stands (state, version, line, token, attempt), once it was
--                                 claimed (tag, started), once it ended (files, expires), and
--                                 place: `alone` if it must run alone; silent: the token of the run
--                                 that was not heard of for half its lease; hook: the delivery that
--                                 tells its end, see hooks.lua; ends.lua tells the fields that say
--                                 how long it is kept
--   ready:<kind>           zset   jobs that wait for a worker, by fair-queue tag
--   fair:<kind>            hash   next free tag of each account; field "" is the virtual time
--   alone:<kind>           zset   jobs that lost their worker, on their last attempt, by tag
--   parked:<kind>:<party>  zset   jobs of a party that runs as many as it may, by tag
--   parked                 hash   how many each party has of those
--   delayed                zset   jobs that wait for a retry, by due time (ms)
--   leases                 zset   claimed jobs, by end of lease (ms)
--   expiry                 zset   ended jobs, by the time (ms) they may be forgotten, or taken
--                                 again by who does it
--   queued                 hash   jobs of each account that wait, but those of class hook
--   running                hash   jobs of each party that run, but those of class flow, which wait
--                                 for others; the party is the account, see parties_of
--   rate                   hash   time (ms) at which each account's minute is free again
--   reuse:<fingerprint>    string key of the job that answers the same request
--   idempotent:<acct>:<k>  list   what a repeated request is known by: its body, then its jobs
--   children:<key>         set    jobs that a job ran and waited for
--   stored:<account>       zset   files of the account's ended jobs, all of one score:
--                                 "<day>/<key>/<token>/<filename>", 0, "<size> <time (µs)>"
--   usage                  hash   bytes of all these, of each account
--   lifetime               hash   days that an account keeps files, 0 for ever; "<account> set":
--                                 when it said so (µs)
--   ended                  hash   jobs ended, by "<task> <state>"
--   durations              hash   what runs took: "<phase> <bucket>" and "<phase> microseconds"
--   worker:<name>          string what a worker tells of itself, as JSON
--   consumers              zset   "<kind> <worker>", by the time (ms) it last asked for work
--   offer:<worker>         hash   the number of its offer and its lease (ms); of each kind how many
--                                 jobs it may be given in all (<kind>), and was (<kind> given)
--   takers:<kind>          zset   workers to which a job may be sent unasked, by how many still

local base, channels = KEYS[1], ARGV[1]
local KINDS = {'fast', 'heavy', 'flow', 'record', 'hook'}

-- It stands still while a script runs.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

-- It as statuses have it: ISO 8601, UTC. Years begin in March here, so that leap days come last.
local function iso()
  local days = math.floor(time[1] / 86400) + 719468
  local era = math.floor(days / 146097)
  local day = days - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524)
    - math.floor(day / 146096)) / 365)
  day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400 + (month > 9 and 1 or 0)
  month = month > 9 and month - 9 or month + 3
  local second = time[1] % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00', year, month, day,
    math.floor(second / 3600), math.floor(second / 60) % 60, second % 60, time[2])
end

local function exists(key)
  return redis.call('EXISTS', base .. 'job:' .. key) == 1
end

-- Messages go out once per channel at the end of a script, a line for each job.
local outbox, order, woken = {}, {}, {}

local function tell(key, version, state, line)
  local channel = string.sub(key, 1, 3)
  if not outbox[channel] then
    outbox[channel] = {}
    order[#order + 1] = channel
  end
  local lines = outbox[channel]
  lines[#lines + 1] = key .. ' ' .. version .. ' ' .. state .. ' ' .. line
end

local function wake(kind)
  woken[kind] = true
end

-- Counters are read once and change once, at the end of a script, however many jobs it moves.
local counts, known = {}, {}

local function count(name, field, by)
  counts[name] = counts[name] or {}
  counts[name][field] = (counts[name][field] or 0) + by
end

local function counted(name, field)
  known[name] = known[name] or {}
  if not known[name][field] then
    known[name][field] = tonumber(redis.call('HGET', base .. name, field)) or 0
  end
  return known[name][field] + (counts[name] and counts[name][field] or 0)
end

-- So do sorted sets that no script reads after it has changed them. What is put and dropped in
-- one script is gone.
local scores, gone = {}, {}

local function put(name, score, member)
  scores[name] = scores[name] or {}
  table.insert(scores[name], score)
  table.insert(scores[name], member)
end

local function drop(name, member)
  gone[name] = gone[name] or {}
  table.insert(gone[name], member)
end

-- A call takes no more arguments than Lua's stack holds.
local function in_parts(command, name, values)
  for first = 1, #values, 1000 do
    redis.call(command, base .. name, unpack(values, first, math.min(first + 999, #values)))
  end
end

local function deliver()
  for name, fields in pairs(counts) do
    for field, by in pairs(fields) do
      -- There may be any number of parties: of those that have nothing left nothing is kept.
      if by ~= 0 and redis.call('HINCRBY', base .. name, field, by) == 0 then
        redis.call('HDEL', base .. name, field)
      end
    end
  end
  for name, values in pairs(scores) do in_parts('ZADD', name, values) end
  for name, members in pairs(gone) do in_parts('ZREM', name, members) end
  for _, channel in ipairs(order) do
    redis.call('PUBLISH', channels .. 'status:' .. channel, table.concat(outbox[channel], '\n'))
  end
  for _, kind in ipairs(KINDS) do
    if woken[kind] then redis.call('PUBLISH', channels .. 'wake:' .. kind, '') end
  end
end

-- How many more jobs of a kind a worker may be sent unasked.
local function set_room(kind, worker, room)
  if room > 0 then
    redis.call('ZADD', base .. 'takers:' .. kind, room, worker)
  else
    redis.call('ZREM', base .. 'takers:' .. kind, worker)
  end
end

-- Puts a job where workers claim it: among the others, or apart if it may be what kills them.
local function enqueue(key, kind, tag)
  local place = redis.call('HGET', base .. 'job:' .. key, 'place') or 'ready'
  redis.call('ZADD', base .. place .. ':' .. kind, tag, key)
  wake(kind)
end

local function turn_of(account, cost)
  local tags = redis.call('HMGET', base .. 'fair:hook', '', '@' .. account)
  local tag = math.max(tonumber(tags[1]) or 0, tonumber(tags[2]) or 0)
  redis.call('HSET', base .. 'fair:hook', '@' .. account, tag + cost)
  return tag
end

-- Other jobs keep their turn when they are queued again or unparked. A delivery may have waited for a
-- day: it would come before all others, and those to one dead receiver would take all slots.
-- `claim` gives the turn back where it parks one.
local function take_turn(key)
  local is = redis.call('HMGET', base .. 'job:' .. key, 'account', 'cost')
  local tag = turn_of(is[1], is[2])
  redis.call('HSET', base .. 'job:' .. key, 'tag', tag)
  return tag
end

-- Of whose jobs only so many run at once: the account's; or of deliveries those of the account to
-- one receiver, so that one that is dead leaves slots to the others, and all of the account, so that
-- many dead ones leave slots to other accounts. No receiver is called '/'.
local function parties_of(key, kind, account)
  if kind ~= 'hook' then return {account} end
  local receiver = redis.call('HGET', base .. 'job:' .. key, 'receiver') or ''
  return {account .. ' ' .. receiver, account .. ' /'}
end

-- There is room for one more of the party's jobs: one that was parked may take it.
local function unpark(party)
  if counted('parked', party) == 0 then return end
  for _, kind in ipairs(KINDS) do
    local parked = redis.call('ZPOPMIN', base .. 'parked:' .. kind .. ':' .. party)
    if parked[1] then
      count('parked', party, -1)
      enqueue(parked[1], kind, kind == 'hook' and take_turn(parked[1]) or parked[2])
      return
    end
  end
end

-- A job that waits for its children must not keep them from running.
local function is_limited(kind)
  return kind ~= 'flow'
end

-- Deliveries are not asked for.
local function count_queued(kind, account, by)
  if kind ~= 'hook' then count('queued', account, by) end
end

-- One of the account's jobs ended or was handed back.
local function leave_running(key, kind, account)
  drop('leases', key)
  if not is_limited(kind) then return end
  for _, party in ipairs(parties_of(key, kind, account)) do
    count('running', party, -1)
    unpark(party)
  end
end

-- A job that waits, wherever it does, waits no longer.
local function leave_queue(key, kind, account)
  local waited = false
  for _, place in ipairs({'ready:', 'alone:'}) do
    waited = redis.call('ZREM', base .. place .. kind, key) == 1 or waited
  end
  for _, party in ipairs(parties_of(key, kind, account)) do
    -- It may have been unparked for a room that nobody takes now.
    if waited then unpark(party) end
    local parked = redis.call('ZREM', base .. 'parked:' .. kind .. ':' .. party, key)
    count('parked', party, -parked)
  end
  redis.call('ZREM', base .. 'delayed', key)
  count_queued(kind, account, -1)
end

-- The run of `token` still holds the job: the guard of every write a worker makes.
local function is_held_by(token, is)
  return is[1] == tostring(token) and is[2] == 'executing'
end

local function holds(key, token)
  return is_held_by(token, redis.call('HMGET', base .. 'job:' .. key, 'token', 'state'))
end

local function is_full(kind, party, limit)
  if not limit or tonumber(limit) == 0 or not is_limited(kind) then return false end
  return counted('running', party) >= tonumber(limit)
end

-- A queued job goes to a worker: what changes in its record, and what the worker needs.
local function start(key, kind, is, at, lease_ms)
  local blob, account, queued, version, token, attempt = unpack(is)
  version, token, attempt = version + 1, token + 1, attempt + 1
  -- Two machines told these times: a job must not seem to start before it was queued.
  local started = at > queued and at or queued
  local line = '{"status":"executing","key":"' .. key .. '","events":{"queued":"' .. queued
    .. '","started":"' .. started .. '"}}'
  put('leases', now + lease_ms, key)
  if is_limited(kind) then
    for _, party in ipairs(parties_of(key, kind, account)) do count('running', party, 1) end
  end
  count_queued(kind, account, -1)
  tell(key, version, 'executing', line)
  return {'state', 'executing', 'version', version, 'line', line, 'token', token,
    'attempt', attempt, 'started', started}, {blob, token, attempt, started}
end

local function expire(key, retention_ms)
  put('expiry', now + retention_ms, key)
  return now + retention_ms
end

-- Puts a claimed job back where it stood in the queue, as the clients see: queued again.
local function hand_back(key, line)
  local job = base .. 'job:' .. key
  local is = redis.call('HMGET', job, 'account', 'kind', 'tag')
  local version = redis.call('HINCRBY', job, 'version', 1)
  redis.call('HSET', job, 'state', 'queued', 'line', line)
  count_queued(is[2], is[1], 1)
  leave_running(key, is[2], is[1])
  tell(key, version, 'queued', line)
  return is[2], is[3]
end

-- The same to be run again, after a pause or at once.
local function run_again(key, line, pause_ms)
  local kind, tag = hand_back(key, line)
  if pause_ms > 0 then
    redis.call('ZADD', base .. 'delayed', now + pause_ms, key)
  else
    enqueue(key, kind, tag)
  end
end
