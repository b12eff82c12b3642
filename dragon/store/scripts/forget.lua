-- forget: success or error -> nothing, once the files are deleted
--
-- ARGV[2]… keys
-- Returns  nothing
-- Tells    nobody

for index = 2, #ARGV do
  local job = base .. 'job:' .. ARGV[index]
  -- A delivery may have been queued once more meanwhile.
  if redis.call('ZREM', base .. 'expiry', ARGV[index]) == 1 then
    local reuse = redis.call('HGET', job, 'reuse')
    if reuse and redis.call('GET', reuse) == ARGV[index] then redis.call('DEL', reuse) end
    forget_hook(ARGV[index])
    redis.call('DEL', job)
  end
end
