-- replay: success or error -> queued, a delivery that is to be made once more;
--         queued, after a pause -> queued at once
--
-- ARGV[2]  key
-- ARGV[3]  account
-- Returns  1, or 0 if the account has no such delivery
-- Tells    workers

local key, account = ARGV[2], ARGV[3]
local job = base .. 'job:' .. key
local is = redis.call('HMGET', job, 'kind', 'account', 'state', 'queued')
if is[1] ~= 'hook' or is[2] ~= account then return 0 end
local state = is[3]
if state == 'success' or state == 'error' then
  redis.call('HSET', job, 'state', 'queued', 'attempt', 0,
    'line', '{"status":"queued","key":"' .. key .. '","events":{"queued":"' .. is[4] .. '"}}')
  redis.call('HINCRBY', job, 'version', 1)
  redis.call('HDEL', job, 'expires')
  redis.call('ZREM', base .. 'expiry', key)
  relist_hook(key, account, state, 'queued')
  enqueue(key, 'hook', take_turn(key))
elseif redis.call('ZREM', base .. 'delayed', key) == 1 then
  enqueue(key, 'hook', take_turn(key))
end
deliver()
return 1
