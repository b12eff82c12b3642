-- submit: nothing -> queued (or error, for a job whose parameters are wrong);
--         nothing -> executing, if nothing waits and a worker offers room for all
--
-- ARGV[2]  MessagePack: a list of requests {account, queued limit or 0, per minute or 0, reuse,
--          idempotency key, body, seconds to remember it, jobs, parent, its token}; a job is
--          {key, state, line, blob, kind, task, queued, cost, running limit or 0, attempts,
--          retention ms, reuse ms, hook or '', whether it is volatile}. A request is accepted whole
--          or refused whole.
-- ARGV[3]  now, as ISO 8601
-- Returns  for each request {'accepted'}; {'answered', ticket (JSON)…} by jobs that are there;
--          {'conflict'} with a request of the same idempotency key and another body;
--          {'lost'} if the worker that asks for a child holds its parent no longer;
--          or what it is over: {'queued', limit} or {'per_minute', ms to wait}
-- Tells    workers of each kind that got a job, or the one that it goes to; then also whoever waits
--
-- A job that exists already is left as it is, so a repeated call is harmless.

-- Of one message: a worker that stands still may be sent one for each slot, and Valkey cuts it off
-- when it does not read some megabytes.
local MAX_SENT, MAX_SENT_BYTES = 32, 65536

local function over_rate(account, per_minute, count)
  if per_minute == 0 then return nil end
  local free = math.max(tonumber(redis.call('HGET', base .. 'rate', account)) or 0, now)
  local after = free + count * 60000 / per_minute
  if after > now + 60000 then return math.ceil(after - now - 60000) end
  redis.call('HSET', base .. 'rate', account, after)
  return nil
end

-- Start-time fair queueing: a job's tag is the later of the virtual time and its account's last
-- finish, so accounts take turns, in proportion to their weights, however many jobs each has.
-- The finishes are written once, after all jobs: requests may have thousands.
local finishes = {}

local function next_tag(kind, account, cost)
  local fair, field = 'fair:' .. kind, '@' .. account
  finishes[fair] = finishes[fair] or {}
  -- What a job of the same class waits for comes first, or such jobs could take all slots.
  if cost == 0 then return tonumber(redis.call('HGET', base .. fair, '')) or 0 end
  local tag = finishes[fair][field]
  if not tag then
    local tags = redis.call('HMGET', base .. fair, '', field)
    tag = math.max(tonumber(tags[1]) or 0, tonumber(tags[2]) or 0)
  end
  finishes[fair][field] = tag + cost
  return tag
end

-- Virtual time is that of the last job that went to a worker.
local function move_time(kind, tag)
  local tags = finishes['fair:' .. kind]
  tags[''] = math.max(tags[''] or 0, tag)
end

local function write_finishes()
  for fair, tags in pairs(finishes) do
    local values = {}
    for field, tag in pairs(tags) do
      values[#values + 1], values[#values + 2] = field, tag
    end
    in_parts('HSET', fair, values)
  end
end

-- The worker that all new jobs of a kind may be sent to, with what that takes.
local requests, takers = cmsgpack.unpack(ARGV[2]), {}

local function choose_taker(kind, jobs)
  local found = redis.call('ZREVRANGE', base .. 'takers:' .. kind, 0, 0, 'WITHSCORES')
  while found[1] and tonumber(found[2]) >= jobs do
    local worker = found[1]
    local terms = redis.call('HMGET', base .. 'offer:' .. worker, 'number', 'lease')
    -- Nobody listens where the worker has died, or lost its connection.
    local channel = channels .. 'take:' .. worker
    if terms[1] and redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 then
      return {worker = worker, channel = channel, room = found[2], number = terms[1],
        lease = terms[2], sent = {}}
    end
    set_room(kind, worker, 0)
    found = redis.call('ZREVRANGE', base .. 'takers:' .. kind, 0, 0, 'WITHSCORES')
  end
  return false
end

local function find_taker(kind)
  local jobs, waiting = 0, {base .. 'ready:' .. kind}
  for _, request in ipairs(requests) do jobs = jobs + #request[8] end
  for _, each in ipairs(KINDS) do waiting[#waiting + 1] = base .. 'alone:' .. each end
  if jobs > MAX_SENT or #ARGV[2] > MAX_SENT_BYTES then return false end
  -- What came before has its turn before.
  if redis.call('EXISTS', unpack(waiting)) > 0 then return false end
  return choose_taker(kind, jobs)
end

local function taker_for(kind, account, limit, attempts)
  if takers[kind] == nil then takers[kind] = find_taker(kind) end
  -- A message may be lost, and with it the attempt: one that has no other is claimed.
  return attempts > 1 and not is_full(kind, account, limit) and takers[kind]
end

local function send_to_takers()
  for kind, taker in pairs(takers) do
    if taker and #taker.sent > 0 then
      local count = #taker.sent
      redis.call('PUBLISH', taker.channel, cmsgpack.pack({tonumber(taker.number), taker.sent}))
      redis.call('HINCRBY', base .. 'offer:' .. taker.worker, kind .. ' given', count)
      set_room(kind, taker.worker, taker.room - count)
    end
  end
end

-- Straight to a worker if one takes it, else where workers claim it. Returns how it then stands.
local function queue(job, account)
  local key, _, line, blob, kind, _, queued, cost, limit, attempts = unpack(job)
  local tag = next_tag(kind, account, cost)
  local taker = taker_for(kind, account, limit, attempts)
  count_queued(kind, account, 1)
  if not taker then
    put('ready:' .. kind, tag, key)
    wake(kind)
    return {'state', 'queued', 'version', 1, 'line', line, 'token', 0, 'attempt', 0}
  end
  local changes, told = start(key, kind, {blob, account, queued, 1, 0, 0}, ARGV[3], taker.lease)
  taker.sent[#taker.sent + 1] = told
  move_time(kind, tag)
  return {'tag', tag, unpack(changes)}
end

local function add(job, account, reuse)
  local key, state, line, blob, kind, task, queued, _, limit, attempts, retention, reuse_ms, hook,
    volatile = unpack(job)
  local name, stands = base .. 'job:' .. key, nil
  if state == 'queued' then
    stands = queue(job, account)
    if reuse ~= '' then
      redis.call('HSET', name, 'reuse', base .. 'reuse:' .. reuse, 'reuse_ms', reuse_ms)
      redis.call('SET', base .. 'reuse:' .. reuse, key)
    end
  else
    stands = {'state', state, 'version', 1, 'line', line, 'token', 0, 'attempt', 0,
      'expires', expire(key, retention)}
    count('ended', task .. ' ' .. state, 1)
  end
  redis.call('HSET', name, 'job', blob, 'account', account, 'kind', kind, 'task', task,
    'queued', queued, 'limit', limit, 'attempts', attempts, 'retention', retention,
    unpack(stands))
  if volatile then redis.call('HSET', name, 'volatile', 1) end
  -- Servers of an older version give none.
  if not hook or hook == '' then return end
  if state == 'queued' then
    redis.call('HSET', name, 'hook', cmsgpack.pack(hook))
  else
    send_hook(account, hook, state, line)
  end
end

-- What is known of jobs that exist already, but not what they tell, which may be large; or nil if
-- one of them is gone.
local function answered(keys)
  local answer = {'answered'}
  for index, key in ipairs(keys) do
    local is = redis.call('HMGET', base .. 'job:' .. key, 'task', 'kind', 'account', 'queued')
    if not is[1] then return nil end
    answer[index + 1] = cjson.encode(
      {key = key, task = is[1], kind = is[2], account = is[3], queued = is[4]})
  end
  return answer
end

local function reused(reuse)
  local key = reuse ~= '' and redis.call('GET', base .. 'reuse:' .. reuse)
  return key and answered({key})
end

local function repeated(name, body)
  local known = redis.call('LRANGE', name, 0, -1)
  if not known[1] then return nil end
  if table.remove(known, 1) ~= body then return {'conflict'} end
  return answered(known)
end

local function remember(name, body, seconds, jobs)
  redis.call('DEL', name)
  redis.call('RPUSH', name, body)
  for _, job in ipairs(jobs) do redis.call('RPUSH', name, job[1]) end
  redis.call('EXPIRE', name, seconds)
end

local function accept(request)
  local account, queued_limit, per_minute, reuse, idempotency, body, seconds, jobs, parent, token =
    unpack(request)
  if parent ~= '' then
    if not holds(parent, token) then return {'lost'} end
    -- A parent that runs again finds the child that it had.
    if exists(jobs[1][1]) then return {'accepted'} end
  end
  local name = base .. 'idempotent:' .. account .. ':' .. idempotency
  local answer = idempotency ~= '' and repeated(name, body) or reused(reuse)
  if answer then return answer end
  if queued_limit > 0 and counted('queued', account) + #jobs > queued_limit then
    return {'queued', queued_limit}
  end
  local wait = over_rate(account, per_minute, #jobs)
  if wait then return {'per_minute', wait} end
  for _, job in ipairs(jobs) do
    if not exists(job[1]) then add(job, account, reuse) end
  end
  if idempotency ~= '' then remember(name, body, seconds, jobs) end
  if parent ~= '' then
    redis.call('SADD', base .. 'children:' .. parent, jobs[1][1])
    redis.call('HSET', base .. 'job:' .. jobs[1][1], 'parent', parent)
  end
  return {'accepted'}
end

local answers = {}
for index, request in ipairs(requests) do answers[index] = accept(request) end
write_finishes()
send_to_takers()
deliver()
return answers
