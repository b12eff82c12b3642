-- submit: nothing -> queued (or error, for a job whose parameters are wrong)
--
-- ARGV[2]  MessagePack: a list of requests {account, queued limit or 0, per minute or 0, reuse,
--          idempotency key, body, seconds to remember it, jobs, parent, its token}; a job is
--          {key, state, line, blob, kind, task, queued, cost, running limit or 0, attempts,
--          retention ms, reuse ms}. A request is accepted whole or refused whole.
-- Returns  for each request {'accepted'}; {'answered', record…} by jobs that exist already;
--          {'conflict'} with a request of the same idempotency key and another body;
--          {'lost'} if the worker that asks for a child holds its parent no longer;
--          or what it is over: {'queued', limit} or {'per_minute', ms to wait}
-- Tells    workers of each kind that got a job
--
-- A job that exists already is left as it is, so a repeated call is harmless.

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
  local fair, field = base .. 'fair:' .. kind, '@' .. account
  -- What a job of the same class waits for comes first, or such jobs could take all slots.
  if cost == 0 then return tonumber(redis.call('HGET', fair, '')) or 0 end
  finishes[fair] = finishes[fair] or {}
  local tag = finishes[fair][field]
  if not tag then
    local tags = redis.call('HMGET', fair, '', field)
    tag = math.max(tonumber(tags[1]) or 0, tonumber(tags[2]) or 0)
  end
  finishes[fair][field] = tag + cost
  return tag
end

local function write_finishes()
  for fair, tags in pairs(finishes) do
    for field, tag in pairs(tags) do redis.call('HSET', fair, field, tag) end
  end
end

local function add(job, account, reuse)
  local key, state, line, blob, kind, task, queued, cost, limit, attempts, retention, reuse_ms =
    unpack(job)
  local name = base .. 'job:' .. key
  redis.call('HSET', name, 'job', blob, 'account', account, 'kind', kind, 'task', task,
    'queued', queued, 'state', state, 'version', 1, 'line', line, 'limit', limit,
    'attempts', attempts, 'attempt', 0, 'token', 0, 'retention', retention)
  if state ~= 'queued' then
    redis.call('HSET', name, 'expires', expire(key, retention))
    count('ended', task .. ' ' .. state, 1)
    return
  end
  if reuse ~= '' then
    redis.call('HSET', name, 'reuse', base .. 'reuse:' .. reuse, 'reuse_ms', reuse_ms)
    redis.call('SET', base .. 'reuse:' .. reuse, key)
  end
  count('queued', account, 1)
  put('ready:' .. kind, next_tag(kind, account, cost), key)
  wake(kind)
end

-- The records of jobs that exist already, or nil if one of them is gone.
local function answered(keys)
  local answer = {'answered'}
  for index, key in ipairs(keys) do
    local record = redis.call('HMGET', base .. 'job:' .. key,
      'version', 'state', 'line', 'job', 'files', 'expires')
    if not record[1] then return nil end
    answer[index + 1] = {key, unpack(record)}
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
  if parent ~= '' then redis.call('SADD', base .. 'children:' .. parent, jobs[1][1]) end
  return {'accepted'}
end

local answers = {}
for index, request in ipairs(cmsgpack.unpack(ARGV[2])) do answers[index] = accept(request) end
write_finishes()
deliver()
return answers
