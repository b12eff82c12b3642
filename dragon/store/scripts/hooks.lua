-- Deliveries of web hooks: jobs of class hook, made by the very script that ends what they tell of.
--
--   body                   of a job: what a delivery sends, the final status of the other job
--   deliveries:<st>:<acct> zset   an account's deliveries that are pending, delivered or failed, by
--                                 when they were made: "<queued><key>", all with one score
--   tries:<key>            list   how each try went, as JSON
--   cost                   of a delivery: what it moves its account's next turn by
--   receiver               of a delivery: the host and port that it goes to
--   limit, whole_limit     of a delivery: how many run at once of its account's to that receiver, and
--                          of its account's in all
--
-- A job's `hook` is MessagePack: {key of the delivery, tries, retention ms, ms before the first try,
-- cost, {state: blob of the delivery, without its beginning}, limit, {state: receiver}, whole_limit}.
-- Servers of an older version do not give the last ones.

local MAX_TRIES_KEPT = 50
local STATE_OF = {queued = 'pending', executing = 'pending', success = 'delivered', error = 'failed'}

local function list_of(state, account)
  return base .. 'deliveries:' .. STATE_OF[state] .. ':' .. account
end

-- A job has ended: queues the delivery of its status, if somebody is to be told of that end.
local function send_hook(account, hook, state, line)
  local key, tries, retention, pause_ms, cost, blobs, limit, receivers, whole_limit = unpack(hook)
  if not blobs[state] then return end
  local queued, tag = iso(), turn_of(account, cost)
  redis.call('HSET', base .. 'job:' .. key, 'job', '{"queued":"' .. queued .. '",' .. blobs[state],
    'account', account, 'kind', 'hook', 'task', 'webhook', 'queued', queued, 'limit', limit or 0,
    'whole_limit', whole_limit or 0, 'receiver', receivers and receivers[state] or '',
    'attempts', tries, 'retention', retention, 'state', 'queued', 'version', 1, 'token', 0,
    'attempt', 0, 'tag', tag, 'cost', cost, 'body', line,
    'line', '{"status":"queued","key":"' .. key .. '","events":{"queued":"' .. queued .. '"}}')
  redis.call('ZADD', list_of('queued', account), 0, queued .. key)
  if pause_ms > 0 then
    redis.call('ZADD', base .. 'delayed', now + pause_ms, key)
  else
    enqueue(key, 'hook', tag)
  end
end

-- A delivery is in another state.
local function relist_hook(key, account, from, to)
  local member = redis.call('HGET', base .. 'job:' .. key, 'queued') .. key
  redis.call('ZREM', list_of(from, account), member)
  redis.call('ZADD', list_of(to, account), 0, member)
end

local function note_try(key, try)
  redis.call('RPUSH', base .. 'tries:' .. key, try)
  redis.call('LTRIM', base .. 'tries:' .. key, -MAX_TRIES_KEPT, -1)
end

-- A job is forgotten: what there is besides, if it is a delivery.
local function forget_hook(key)
  local is = redis.call('HMGET', base .. 'job:' .. key, 'kind', 'account', 'state', 'queued')
  if is[1] ~= 'hook' then return end
  redis.call('ZREM', list_of(is[3], is[2]), is[4] .. key)
  redis.call('DEL', base .. 'tries:' .. key)
end
