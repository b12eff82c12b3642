-- cancel: queued or executing -> error
--
-- ARGV[2]  now, as ISO 8601
-- ARGV[3]… keys
-- Returns  1 for each that is cancelled now, 0 for each that had ended before or is unknown
-- Tells    whoever waits; every worker, for one of them may run it

local answers = {}
for index = 3, #ARGV do
  local key = ARGV[index]
  local is = redis.call('HMGET', base .. 'job:' .. key, 'state', 'queued', 'started')
  local is_open = is[1] == 'queued' or is[1] == 'executing'
  if is_open then
    local started = is[1] == 'executing' and '","started":"' .. is[3] or ''
    complete(key, read(key), 'error', '{"status":"error","key":"' .. key .. '","error":"cancelled",'
      .. '"events":{"queued":"' .. is[2] .. started .. '","completed":"' .. ARGV[2] .. '"}}', '[]')
    if is[1] == 'executing' then redis.call('PUBLISH', channels .. 'cancelled', key) end
  end
  answers[#answers + 1] = is_open and 1 or 0
end
deliver()
return answers
